import pytest
import torch

from curse_of_memory.devices import resolve_device


@pytest.mark.parametrize("available", [True, False])
def test_auto_is_cuda_where_there_is_one(monkeypatch, available):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == torch.device("cuda" if available else "cpu")
    assert resolve_device() == resolve_device("auto")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_devices_may_be_names_or_devices(device):
    assert resolve_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_cuda_is_refused_where_there_is_none(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no CUDA device; use 'auto' or 'cpu'"):
        resolve_device(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x", None, 1.5])
def test_other_words_are_refused(device):
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu'"):
        resolve_device(device)
