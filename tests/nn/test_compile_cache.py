import os
import types

from curse_of_memory.nn.recurrence.compile_cache import drop_stale


def test_what_was_compiled_before_a_called_module_changed_is_dropped(tmp_path):
    own, other = tmp_path / "loops.py", tmp_path / "lanes.py"
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    kept = {
        name: cache / name for name in ("loops.run-1.py311.nbi", "loops.run-1.py311.1.nbc", "lanes.f.nbi")
    }
    for path in (own, other, *kept.values()):
        path.touch()
    called = types.SimpleNamespace(__file__=str(other))
    os.utime(other, (0, 1e9))
    drop_stale(str(own), called)
    assert all(path.exists() for path in kept.values())
    for path in kept.values():
        os.utime(path, (0, 1e8))
    drop_stale(str(own), called)
    assert [name for name, path in kept.items() if path.exists()] == ["lanes.f.nbi"]
