"""Training one model on one long text, through whose rows its state is handed on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.tools import checks, devices
from curse_of_memory.tools.random_streams import stream
from curse_of_memory.training.averaged_weights import AveragedWeights
from curse_of_memory.training.charges import check_charged
from curse_of_memory.training.checkpoints import identity, weights_of
from curse_of_memory.training.complete import complete, in_training
from curse_of_memory.training.demands import check_answers, trained_dtype
from curse_of_memory.training.log import Log
from curse_of_memory.training.loop import BatchLoss, Ends, Steps
from curse_of_memory.training.metrics import metric_of
from curse_of_memory.training.own_checkpoints import checkpoint_of
from curse_of_memory.training.processes import OneProcess, processes
from curse_of_memory.training.result import FitResult
from curse_of_memory.training.run_state import RunState
from curse_of_memory.training.schedules import TO_THE_END, checked_schedule, checked_warmup, scheduler_of
from curse_of_memory.training.settings import checked_settings
from curse_of_memory.training.streams.chunks import ChunkAnswer, Chunks, answer_chunk, check_run
from curse_of_memory.training.streams.rows import Rows, side_by_side
from curse_of_memory.training.streams.stream import Stream, checked_stream
from curse_of_memory.training.streams.text_loss import check_targets, evaluated_rows, token_loss
from curse_of_memory.training.untouched import untouched

__all__ = ["fit_stream"]

TRIED = 4  # rows that the model is tried on before it is trained
PLATEAU = 10  # validations in a row without a better one


METRICS = ("loss", "accuracy")


def fit_stream(
    model: nn.Module,
    text: Tensor,
    validation: Tensor,
    *,
    labels: Tensor | None = None,
    validation_labels: Tensor | None = None,
    steps: int = 1000,
    rows: int = 64,
    chunk: int = 70,
    learning_rate: float = 0.001,
    schedule: str | Sequence[int] = "constant",
    warmup: int = 0,
    penalty: float = 0.0,
    clip: float = 0.5,
    validate_every: int = 200,
    validation_rows: int = 1,
    text_steps: int | None = None,
    metric: str = "loss",
    average_after: int | None = None,
    average_from: int | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
    fabric=None,
    full_precision: bool = True,
    progress: bool = False,
    log: str | Path | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> FitResult:
    """Train `model` to predict the next token of a long text with Adam; the model ends with its best weights.

    The text is cut into `rows` pieces that follow each other. Each step reads the next `chunk` tokens of all
    of them, from the state that the step before has left, which hands on no gradient. At the end of the rows
    a new walk begins, from a state at rest, and some tokens further on or back.

    In place of the next token, labels may be asked for, where there are any; and the text may be a sequence
    of real vectors. A model whose memories have a price, as those with an
    :class:`~curse_of_memory.nn.forgetting.ExpireSpan` have, is charged for them: the price is added to what
    is descended.

    Parameters
    ----------
    model : torch.nn.Module
        Has ``run(x, state)``: maps tokens ``(rows, time)`` and a state, None at rest, to logits
        ``(rows, time, token)`` and the next state, tensors or tuples, lists and dictionaries of them. Or
        ``remember(x, state)``, which says the price of memory, too
        (:class:`curse_of_memory.protocols.Remembering`). It is moved to `device`.
    text, validation : Tensor of shape ``(tokens,)``, or with labels also ``(steps, channel)``
        Whole numbers, or real vectors: what it learns, and the text by which the best weights are selected.
    labels, validation_labels : Tensor of shape ``(steps,)``, optional
        Both or none: the class that is to be answered after each step of `text` and of `validation`, −100
        where nothing is asked. The loss is a mean over the steps that ask for something, in a chunk or in
        the whole validation text, and zero in a chunk without any; the price of memory is a mean over all
        steps, however few of them ask.
    steps : int
        Number of updates.
    rows, chunk : int
        Pieces of the text that are read side by side, and steps of each in an update.
    learning_rate : float
        Of Adam.
    schedule : {'constant', 'cosine', 'linear', 'plateau'} or sequence of int
        How the learning rate falls, as :func:`curse_of_memory.training.fit` has it: not at all, along a
        cosine, in a line to zero, tenfold after 10 validations without a better one, or tenfold after each of
        these steps.
    warmup : int
        Steps over which the learning rate first rises in a line, to its full value at the last of them. A
        cosine or a line to zero goes over the steps that are left. Not with a plateau.
    penalty : float
        λ of λ/2 |w|², which is added to the loss per token; training losses are told without it.
    clip : float
        Largest norm of the gradient; `math.inf` clips nothing.
    validate_every : int
        Steps from one validation to the next.
    validation_rows : int
        Pieces into which the text of the validation is cut, each read from a state at rest; one is the text
        as it stands, more are faster.
    text_steps : int, optional
        So many steps from the start of `text` are evaluated at each validation, too, in as many pieces and by
        the same weights: without dropout, or random cuts of spans.
    metric : {'loss', 'accuracy'}
        By what on the validation text the best weights are selected: its loss; or the share of the steps
        asked at which the right answer is the most probable, for which there is a column, too. The least
        loss, or the largest share; of equal ones the first.
    average_after, average_from : int, optional
        From the step on that follows so many validations in a row without a better one, or from this step on
        at the latest, the mean of the weights over all steps since is what is evaluated and kept. Training
        itself goes on with the weights. There is no mean if neither is given.
    seed : int
        Names where walks start, and what the model draws at each step, such as masks of dropout: torch's
        generators are seeded for it and then as they were before. The model brings its initial weights.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.
    fabric : lightning.fabric.Fabric, optional
        As for :func:`curse_of_memory.training.fit`; each process takes its share of the rows.
    full_precision : bool
        Take products of float32 in float32, whatever torch's own settings are.
    progress : bool
        Show a progress bar, in the first process.
    log : path, optional
        A CSV file of the history, with a line for each validation as it happens.
    checkpoint : path, optional
        Written whole at every validation, with the carried state. If the file is there already, the run goes
        on from it along the very trajectory it would have taken. Without one, a training in a notebook that a
        batch runs keeps its own, as :func:`curse_of_memory.training.fit` does.
    checkpoint_every : int, optional
        Steps after which the checkpoint is written between validations, too.

    Returns
    -------
    FitResult
        Losses are cross-entropies per token, in nats, without any price. The history has columns ``step,
        epoch, training_loss, validation_loss, learning_rate``; an epoch is a walk, and the training loss that
        of the last chunk in which anything was asked. Then come ``validation_accuracy``, if it selects;
        ``text_loss`` with `text_steps`, to be held against the validation loss; and for each layer l of a
        model that remembers ``live_l``, the mean number of memories that a step of the validation text sees,
        and if it has spans ``span_l``, for how many steps they are kept in the mean.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, what is no text, a text without a chunk for each row, labels that do not fit it or
        ask for nothing, a token or label of which the model has no logit, a model without weights to train or
        without ``run``, or one that in evaluation is random, keeps state between calls or mixes rows; a
        checkpoint that is damaged, foreign or of another run; or rows that processes cannot share evenly.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalTransformer
    >>> model = CausalTransformer(8, 1, heads=2, vocabulary=3, seed=0)
    >>> text = torch.arange(400) % 3
    >>> result = fit_stream(model, text, text[:50], steps=40, rows=4, chunk=8, validate_every=20)
    >>> result.status, result.history.epoch.round(2).tolist()
    ('finished', [0.0, 1.67, 3.33])

    A memory that pays for its length; every tenth step is asked for the token of four steps ago:

    >>> from curse_of_memory.nn.forgetting import ExpireSpan
    >>> law = ExpireSpan(max_span=32, ramp=4, price=1e-3)
    >>> model = CausalTransformer(8, 1, heads=2, vocabulary=3, forgetting=law, seed=0)
    >>> text, labels = torch.randint(3, (400,)), torch.full((400,), -100)
    >>> labels[9::10] = text[5::10]
    >>> asked = {"labels": labels, "validation_labels": labels, "metric": "accuracy"}
    >>> result = fit_stream(model, text, text, **asked, steps=20, rows=4, chunk=8, validate_every=20)
    >>> list(result.history.columns)[3:]
    ['validation_loss', 'learning_rate', 'validation_accuracy', 'live_0', 'span_0']
    """
    count = checks.positive_int("steps", steps)
    settings = checked_settings(
        0.0,
        clip,
        None,
        rows=rows,
        chunk=chunk,
        validate_every=validate_every,
        validation_rows=validation_rows,
    )
    begins = {"average_after": average_after, "average_from": average_from}
    others = {"checkpoint_every": checkpoint_every, "text_steps": text_steps}
    for name, number in {**begins, **others}.items():
        if number is not None:
            checks.positive_int(name, number)
    for name, value in {"full_precision": full_precision, "progress": progress}.items():
        checks.flag(name, value)
    penalty = checks.non_negative("penalty", penalty)
    learning_rate = checks.positive("learning_rate", learning_rate)
    seed = checks.seed("seed", seed)
    falls = checked_schedule(schedule)
    warmup = checked_warmup(warmup, falls, count)
    selects = metric_of(checks.one_of("metric", metric, METRICS), token_loss)
    if (labels is None) != (validation_labels is None):
        missing = "labels" if labels is None else "validation_labels"
        raise ValueError(f"{missing} must be given, too, or neither of labels and validation_labels")
    dtype = trained_dtype(model)
    check_run(model)
    check_charged(model)
    learnt = checked_stream("text", text, labels, dtype)
    unseen = checked_stream("validation", validation, validation_labels, dtype)
    if validation_rows > len(unseen):
        most = f"below {len(unseen) + 1}, its tokens"
        most = f"at most {len(unseen)}, its steps" if unseen.labelled else most
        raise ValueError(f"validation_rows must be {most}, got {validation_rows}")
    again = None if text_steps is None else _start_of_text(learnt, text_steps, validation_rows)
    lines = Log(log, checkpoint)

    place = processes(fabric, device, rows=rows, validation_rows=validation_rows)
    source = Rows(learnt, rows, chunk, seed=seed, place=place)
    model.to(place.device)
    check_targets(model, place.device, text=learnt, validation=unseen)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    scheduler = scheduler_of(falls, optimizer, steps=count, epoch=1, decay_patience=PLATEAU, warmup=warmup)
    average = AveragedWeights(model, average_after, average_from)

    settings |= {"seed": seed, "learning_rate": learning_rate, "penalty": penalty}
    settings |= {name: value for name, value in begins.items() if value is not None}
    settings |= {"model": identity(model), "shapes": weights_of(model), "text": source.names["task"]}
    settings |= {"validation": unseen.name, "schedule": falls}
    settings |= {"steps": count} if falls in TO_THE_END else {}
    settings |= {} if metric == "loss" else {"metric": metric}
    settings |= {"warmup": warmup} if warmup else {}
    settings |= {} if again is None else {"text_steps": text_steps}
    decides = {"text": learnt, "validation": unseen, "steps": count, "schedule": falls, "metric": metric}
    decides |= {"warmup": warmup, "text_steps": text_steps}
    decides |= {"full_precision": full_precision, "device": place.device}
    alone = fabric is None
    file = checkpoint_of(
        checkpoint, "a fit of a stream", settings, [model], decides, place.device, alone=alone
    )
    run = RunState(model, optimizer, scheduler, source, validate_every, file, place, selects, lines, average)
    network, stepper = place.set_up(Chunks(model), optimizer)

    def loss_of(x: Tensor, y: Tensor) -> BatchLoss:
        def like_the_last() -> Any:
            with untouched(model, place.device), torch.no_grad():
                return network(x, None).last

        state = None if source.begins(run.step) else source.carried.state(like_the_last)
        draws = stream("draws of a model", seed, run.step, place.rank).integers(2**63)
        with devices.torch_draws(int(draws), place.device):
            answer: ChunkAnswer = network(x, state)
        source.carried.hand_on(answer.last)
        return _asked_loss(answer, y, place)

    def validate() -> Sequence[float]:
        network.eval()
        with average.in_place():
            own = None if selects.name == "loss" else selects
            losses, means, score = evaluated_rows(network, seen, chunk, place, metric=own)
            run.watched = {}
            if known is not None:
                run.watched["text_loss"] = evaluated_rows(network, known, chunk, place)[0][0]
        network.train()
        run.watched |= {f"live_{layer}": value for layer, value in enumerate(means.live(place))}
        spans = enumerate(means.spans(place))
        run.watched |= {f"span_{layer}": value for layer, value in spans if value is not None}
        return losses[0], score

    with in_training(model, run):
        seen = place.share(side_by_side(unseen, validation_rows))
        known = None if again is None else place.share(side_by_side(again, validation_rows))
        with devices.full_precision(full_precision):
            tried = source.training(0).inputs[:TRIED]
            check_answers(model, tried, None, place.device, ask=lambda x: answer_chunk(model, x, None).y)
        of_adam = Steps(
            model,
            network,
            stepper,
            scheduler,
            source,
            loss_of,
            place,
            clip,
            None,
            penalty=penalty,
            average=average,
        )
        return complete(
            model,
            run,
            Ends(count, None, None),
            of_adam,
            validate,
            place=place,
            full_precision=full_precision,
            progress=progress,
            checkpoint_every=checkpoint_every,
        )


def _start_of_text(text: Stream, steps: int, rows: int) -> Stream:
    """Return the first `steps` of a text, if there are as many, and enough of them for the rows."""
    if not rows <= steps <= len(text):
        raise ValueError(
            f"text_steps must be from validation_rows = {rows} to the {len(text)} steps of text, got {steps}"
        )
    start = Stream(text.inputs[:steps], text.targets[:steps], text.labelled)
    if not (start.targets != IGNORED).any():
        raise ValueError(f"text_steps must reach a label that asks for something, got {steps}")
    return start


def _asked_loss(answer: ChunkAnswer, targets: Tensor, place: OneProcess) -> BatchLoss:
    """Return the mean loss over the steps of a chunk that ask for something, those of all processes."""
    own = int((targets != IGNORED).sum())
    asked = place.mean_number(own)  # a mean, too
    if answer.lost:
        return BatchLoss(answer.y, answer.price)
    nothing = answer.y.flatten()[:0].sum()  # zero, with a gradient of zeros
    error = token_loss(answer.y, targets) * (own / asked) if own else nothing
    return BatchLoss(error, answer.price, bool(asked))
