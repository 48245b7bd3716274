"""Training one model on sampled batches, with early stopping and checkpoints."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure.answers import sequence_of
from curse_of_memory.nn.building.inputs import NotFiniteError
from curse_of_memory.protocols import Task
from curse_of_memory.tools import checks, devices
from curse_of_memory.training.batches import Batches
from curse_of_memory.training.charges import (
    Charged,
    ChargedAnswer,
    check_charged,
    forgets_by_law,
    not_a_number,
)
from curse_of_memory.training.checkpoints import identity, weights_of
from curse_of_memory.training.complete import complete, in_training
from curse_of_memory.training.data_sets import Data
from curse_of_memory.training.demands import check_answers, real_number, trained_dtype
from curse_of_memory.training.log import Log
from curse_of_memory.training.loop import BatchLoss, Ends, Steps
from curse_of_memory.training.metrics import Metric, evaluated, metric_of
from curse_of_memory.training.own_checkpoints import checkpoint_of
from curse_of_memory.training.processes import processes
from curse_of_memory.training.result import FitResult
from curse_of_memory.training.run_state import RunState
from curse_of_memory.training.schedules import TO_THE_END, checked_schedule, checked_warmup, scheduler_of
from curse_of_memory.training.settings import checked_settings
from curse_of_memory.training.unread import Unread, piece

__all__ = ["fit"]

TRIED = 4  # sequences that the model is tried on before it is trained
VALIDATE_EVERY = 50  # steps, where there are no epochs


def fit(
    model: nn.Module,
    task: Task | Data,
    *,
    loss: nn.Module | None = None,
    output: Callable | None = None,
    validation: Task | Data | None = None,
    test: Task | Data | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int = 512,
    learning_rate: float = 0.01,
    schedule: str | Sequence[int] = "plateau",
    warmup: int = 0,
    weight_decay: float = 0.0,
    clip: float = 0.5,
    validate_every: int | None = None,
    validation_size: int = 1024,
    evaluation_size: int | None = None,
    metric: str | Callable[[Tensor, Tensor], Tensor] = "loss",
    decay_patience: int = 10,
    patience: int | None = None,
    stop_below: float | None = None,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
    fabric=None,
    full_precision: bool = True,
    progress: bool = False,
    log: str | Path | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> FitResult:
    """Train `model` on batches of `task` with AdamW; the model ends with its best weights.

    Parameters
    ----------
    model : torch.nn.Module
        Maps inputs, ``(batch, time, channel)`` or what else `task` gives, to answers that `loss` takes; it is
        moved to `device`. Of one that forgets by a law (:mod:`curse_of_memory.nn.forgetting`) the price of
        memory, a mean over steps and sequences, is descended with the loss, and not told: training calls its
        ``remember`` (:class:`curse_of_memory.protocols.Remembering`).
    task
        Anything with ``sample(size, seed=, device=, dtype=)`` that returns inputs and targets, of which every
        step draws a fresh batch. Or data: a pair ``(inputs, targets)`` of arrays or tensors over sequences,
        or a torch Dataset of such pairs: each step takes `batch_size` different sequences at random, all of
        them if there are fewer. Or a torch DataLoader: each step takes its next batch, epoch after epoch, and
        `batch_size` has no meaning. A model of short weights, such as bfloat16, reads inputs of their
        precision, and its answers are held against targets of float32.
    loss : torch.nn.Module, optional
        ``loss(y_hat, y) -> scalar``, a real number; the unweighted squared error if none is given.
    output : callable, optional
        Chooses the sequence in what the model answers; unless given, that is the answer if it is a tensor,
        its ``last_hidden_state`` or ``logits``, or the first member of a tuple.
    validation
        Another task, such as images that are held out, or other data, whose sequences are the validation set:
        of data `validation_size` sequences, or all if there are fewer. If none is given: those of `task`
        itself, of which any number can be drawn; of data one sequence in ten, at most `validation_size`,
        which is then never trained on. A DataLoader needs a `validation`.
    test
        Further data, all sequences of which are evaluated, or a task, of which `validation_size` are drawn.
        What `metric` says of them at each validation that is the best so far stands in the history and in
        the result; it decides nothing.
    steps, batch_size : int
        Number of updates, 1000 unless given, and sequences in each, of all processes together.
    epochs : int, optional
        In place of `steps`, with data or a loader that has a length: so many times every sequence is visited
        once, in an order that `seed` names, `batch_size` at a time and what is left at the end.
    learning_rate, weight_decay : float
        Of AdamW.
    schedule : {'plateau', 'cosine', 'linear', 'constant'} or sequence of int
        How the learning rate η falls: tenfold whenever the validation loss stands still, see
        `decay_patience`, to η (1 + cos(π k / steps)) / 2 at step k, to η (1 − k / steps), or not at all; or
        tenfold after each of the epochs in a sequence (steps where there are no `epochs`).
    warmup : int
        So many steps over which η first rises in a line; a cosine or a line to zero is then of the steps that
        are left. Not for the plateau.
    clip : float
        Largest norm of the gradient; `math.inf` clips nothing.
    validate_every, validation_size : int
        A fixed set of `validation_size` sequences is evaluated every so many steps: unless given, after each
        epoch, and without `epochs` every 50 steps.
    evaluation_size : int, optional
        So many sequences of the validation and test sets are evaluated at a time, by each process; all unless
        given. Metrics are those of the whole set, if `loss`, or what else is asked for by a function, is a
        mean over sequences. Of a torch Dataset no more than these are in memory: it is read anew each time.
    metric : {'loss', 'accuracy', 'rmse'} or callable
        By what on the validation set the best weights are selected, and `patience` counts: the loss; the
        share of labels that have the largest of the answers ``(..., class)`` (those that `loss` ignores, −100
        unless it says another number, do not count); the root of the mean squared error; or
        ``metric(answers, targets)``, one number as a tensor, of which less is better. Strictly better, so
        that of equal ones the first is taken. All but the loss have a column ``validation_<metric>``.
    decay_patience : int
        Of the plateau only: so many validations in a row may bring no better one before the learning rate is
        divided by 10.
    patience : int, optional
        Stop after so many validations without a better one.
    stop_below : float, optional
        Stop as soon as the validation loss is at most this.
    watch : callable, optional
        Called with the model at the step before each validation, when its gradients are computed and not yet
        clipped; the numbers it returns, by name, are columns of the history. What it does to the model is
        undone.
    seed : int
        Names all batches of the run, below 2³². The model brings its initial weights, and what it draws
        itself, as dropout does, comes from the global generators of torch, numpy and Python.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.
    fabric : lightning.fabric.Fabric, optional
        Trains in all of its processes at once; it has been launched, and every process makes this call. Each
        takes its share of every batch, and has the trained model in the end. Its devices take the place of
        `device`, and its precision, such as ``"bf16-mixed"``, that of the model (one that scales the loss,
        as ``"16-mixed"`` does, would have its first overflow taken for a divergence). Its strategy has to
        keep all weights in every process, as ``"ddp"`` does; `loss` has to be a mean over sequences, or a
        cross-entropy, torch's or ours, which is one over labels: they count alike in whichever process.
    full_precision : bool
        Take products of float32 in float32, whatever torch's own settings are; they are as before in the
        end. False leaves them in force: by default cuDNN then rounds the factors in recurrent layers and
        convolutions to TF32, 10 bits.
    progress : bool
        Show a progress bar, in the first process.
    log : path, optional
        A CSV file of the history, with a line for each validation as it happens; a run that goes on from its
        checkpoint goes on in it, too. A log that is there is written anew.
    checkpoint : path, optional
        Written whole at every validation, by the first process. If the file is there already, the run goes
        on from it, along the very trajectory it would have taken: the states of the global generators are
        in it, too, and are taken up if the model draws from them (in as many processes as there were).
        `steps` may be larger than it was, but not with the schedules ``'cosine'`` and ``'linear'``, whose
        length it is. Without one, a fit in a notebook that a batch runs keeps its own until the figure is
        published, written every 20 seconds or less often, unless the model draws from global generators, or
        loss, data, output or watch keep a state.
    checkpoint_every : int, optional
        Steps after which the checkpoint is written between validations, too, where these are far apart.

    Returns
    -------
    FitResult
        With a history of columns ``step, training_loss, validation_loss, learning_rate``, ``epoch`` after the
        first of them where there are `epochs`, what `metric` said of the validation set and of test data, and
        what `watch` returned.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, data that are none, a model without weights to train, with a law of forgetting whose
        price it does not say, or one that in evaluation is random, keeps state between calls or mixes the
        sequences of a batch (it is tried on four), a loss that is no real number, a checkpoint that is
        damaged, foreign or of another run, or a batch or validation set that the processes cannot share
        evenly.

    Notes
    -----
    Defaults are those of the public code of "INTEREST" and "Inverse approximation theory" (AdamW,
    0.01, batch 512, clipping 0.5, tenfold decay after 10), save that batches are drawn afresh in
    place of epochs over a fixed set. Without `weight_decay` AdamW is Adam.

    Subnormal numbers are flushed to zero, which keeps steps with vanishing gradients as fast as others; see
    ``nn.recurrence.compiled.subnormals`` for the threads that this is about.

    Examples
    --------
    >>> from curse_of_memory.nn import GRU
    >>> x = torch.randn(30, 8, 1, generator=torch.Generator().manual_seed(0))
    >>> result = fit(GRU(4, seed=0), (x, x.cumsum(1)), epochs=3, batch_size=10, metric="rmse", schedule=[2])
    >>> result.history.epoch.tolist(), result.history.learning_rate.tolist()
    ([0.0, 1.0, 2.0, 3.0], [0.01, 0.01, 0.001, 0.001])
    """
    if steps is not None and epochs is not None:
        raise ValueError("steps must not be given with epochs, which say how many there are")
    count = checks.positive_int("steps", 1000 if steps is None else steps)
    for name, number in {
        "epochs": epochs,
        "validate_every": validate_every,
        "evaluation_size": evaluation_size,
        "checkpoint_every": checkpoint_every,
    }.items():
        if number is not None:
            checks.positive_int(name, number)
    sizes = {"batch_size": batch_size, "validation_size": validation_size}
    settings = checked_settings(weight_decay, clip, patience, decay_patience=decay_patience, **sizes)
    learning_rate = checks.positive("learning_rate", learning_rate)
    for name, value in {"full_precision": full_precision, "progress": progress}.items():
        checks.flag(name, value)
    stop_below = None if stop_below is None else checks.real("stop_below", stop_below)
    seed = checks.seed("seed", seed)
    falls = checked_schedule(schedule)
    dtype = trained_dtype(model)
    check_charged(model)
    loss = TemporallyWeightedMSE() if loss is None else loss
    for name, function in {"loss": loss, "output": output, "watch": watch}.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function).__name__}")
    selects, lines = metric_of(metric, loss), Log(log, checkpoint)

    sizes = {name: settings[name] for name in sizes}
    place = processes(fabric, device, **sizes)
    batches = Batches(
        task,
        validation,
        test,
        seed=seed,
        device=place.device,
        dtype=dtype,
        in_epochs=epochs is not None,
        read_late=evaluation_size is not None,
        **sizes,
    )
    if epochs is not None and batches.epoch is not None:
        count = epochs * batches.epoch
        place.check_even("batch_size at the end of an epoch", batches.shortest)
    warmup = checked_warmup(warmup, falls, count)
    settings["validate_every"] = validate_every or batches.epoch or VALIDATE_EVERY
    model.to(place.device)

    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    scheduler = scheduler_of(
        falls,
        optimizer,
        steps=count,
        epoch=batches.epoch or 1,
        decay_patience=decay_patience,
        warmup=warmup,
    )
    settings |= {"seed": seed, "learning_rate": learning_rate}
    settings |= {"model": identity(model), "shapes": weights_of(model), "loss": identity(loss)}
    settings |= {name: identity(data) for name, data in batches.names.items()}
    # what changes the run and is not as ever
    rare = {
        "steps": count if falls in TO_THE_END else None,
        "schedule": None if falls in ("cosine", "plateau") else falls,
        "warmup": warmup or None,
        "epochs": batches.epoch,
        "metric": None if metric == "loss" else metric if isinstance(metric, str) else identity(metric),
        "evaluation_size": evaluation_size,
    }
    settings |= {name: value for name, value in rare.items() if value is not None}
    decides = {"loss": loss, "task": task, "validation": validation, "output": output, "watch": watch}
    decides |= {"steps": count, "schedule": falls, "warmup": warmup, "patience": patience}
    decides |= {"stop_below": stop_below}
    decides |= {"full_precision": full_precision, "device": place.device, "metric": metric, "test": test}
    file = checkpoint_of(checkpoint, "a fit", settings, [model], decides, place.device, alone=fabric is None)
    every = settings["validate_every"]
    run = RunState(model, optimizer, scheduler, batches, every, file, place, selects, lines)
    forgets = forgets_by_law(model)
    network, stepper = place.set_up(Charged(model) if forgets else model, optimizer)

    def ask(inputs: Tensor) -> ChargedAnswer:
        return network(inputs) if forgets else ChargedAnswer(network(inputs), None)

    def sequence_in(known: ChargedAnswer) -> Tensor:
        answers = sequence_of(known.answer, output)
        wide = torch.promote_types(answers.dtype, torch.float32)  # errors of short numbers are not short
        return answers.to(wide)

    counted = metric_of("loss", loss).count

    def loss_of(inputs: Tensor, targets: Tensor) -> BatchLoss:
        known = ask(inputs)
        if known.answer is None and forgets:
            return BatchLoss(not_a_number(model.parameters()), known.price)
        error = real_number(loss(sequence_in(known), targets))
        if counted is not len:  # sequences are shared evenly
            error = place.by_share(error, lambda: counted(targets))
        return BatchLoss(error, known.price)

    def values(pair: Sequence[Tensor] | Unread, metrics: Sequence[Metric]) -> list[float]:
        network.eval()
        try:
            found = evaluated(lambda x: sequence_in(ask(x)), pair, metrics, place, evaluation_size)
        except NotFiniteError:
            found = [metric.over([math.nan], [1], place) for metric in metrics]
        network.train()
        return found

    def validate() -> Sequence[float]:
        if selects.name == "loss":
            return 2 * values(unseen, [selects])
        return values(unseen, [metric_of("loss", loss), selects])

    with in_training(model, run):
        unseen, tests = place.share(batches.validation()), batches.test()
        tested = None
        if tests is not None:
            place.check_even("test", len(tests) if isinstance(tests, Unread) else len(tests.inputs))
            tests = place.share(tests)
            tested = functools.partial(lambda pair: values(pair, [selects])[0], tests)
        with devices.full_precision(full_precision):
            check_answers(model, piece(unseen, slice(TRIED)).inputs, output, place.device)
        return complete(
            model,
            run,
            Ends(count, stop_below, patience),
            Steps(model, network, stepper, scheduler, batches, loss_of, place, clip, watch),
            validate,
            tested,
            place=place,
            full_precision=full_precision,
            progress=progress,
            checkpoint_every=checkpoint_every,
        )
