"""Models from the Hub: pinned, resumed where the connection was cut, used from the cache."""

from hashlib import sha256

from hub_place import NO_HUB, Place
from hub_server import Trouble


def test_model_is_pinned_and_used_from_the_cache(
    place: Place, tiny_files: dict[str, bytes]
) -> None:
    repo = place.hub.repo("model", "org/tiny", tiny_files)
    old = repo.refs["main"]
    place.write()
    place.check()
    place.hub.troubles += [
        Trouble("GET /api/models/org/tiny/revision/main", 1, 429, {"Retry-After": "0"}),
        Trouble("HEAD .*/resolve/", 1, 503),
        Trouble("GET .*/resolve/", 1, 503),
    ]

    said = place.stage("fetch_model", "--model", "tiny")

    assert "HTTP Error 429" in said
    assert "Retry 1/5" in said
    assert "the Hub answers 503; trying again in 1 s" in said
    assert "Traceback" not in said
    assert all(trouble.times == 0 for trouble in place.hub.troubles)
    pin = place.read("data/models/tiny.json")
    assert pin["source"] == {"hub": "org/tiny"}
    assert pin["revision"] == old
    assert pin["licence"] == "apache-2.0"
    assert pin["architecture"] == "LlamaForCausalLM"
    assert list(pin["files"]) == [
        "config.json", "merges.txt", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    assert pin["files"]["merges.txt"] == {
        "bytes": len(tiny_files["merges.txt"]),
        "sha256": sha256(tiny_files["merges.txt"]).hexdigest(),
    }
    assert not place.hub.seen("pytorch_model")

    changed = tiny_files | {"merges.txt": b"#version: 0.3\n"}
    new = repo.commit(changed)
    place.stage("fetch_model", "--model", "tiny")
    assert place.read("data/models/tiny.json") == pin
    place.write(models={"tiny": {"hub": "org/tiny", "revision": "main"}})
    place.check()
    place.stage("fetch_model", "--model", "tiny")
    assert place.read("data/models/tiny.json")["revision"] == new

    # offline: again from the pin, and from nothing but what `main` was last time
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": NO_HUB}
    place.stage("fetch_model", "--model", "tiny", **offline)
    now = place.read("data/models/tiny.json")
    (place.folder / "data/models/tiny.json").unlink()
    place.stage("fetch_model", "--model", "tiny", **offline)
    assert place.read("data/models/tiny.json") == now

    load = (
        "from pathlib import Path; from tunebench import models, results\n"
        "from tunebench.config.schema import Model\n"
        "pin = results.read(Path('data/models/tiny.json'))\n"
        "base = models.Base.pinned(Model(hub='org/tiny'), pin)\n"
        "print(base.revision, models.load_tokenizer(base).encode('the film'))\n"
    )
    done = place.run("-c", load, **offline)
    assert done.stdout.startswith(f"{new} ["), done.stderr


def larger(weights: bytes, megabytes: int) -> bytes:
    """A model's weights with a tensor that has no place in it."""
    import numpy as np
    from safetensors.numpy import load, save

    rng = np.random.default_rng(0)
    return save(load(weights) | {"other": rng.integers(0, 255, megabytes * 2**20, dtype=np.uint8)})


def test_cut_connection_goes_on_where_it_was_cut(
    place: Place, tiny_files: dict[str, bytes]
) -> None:
    files = tiny_files | {"model.safetensors": larger(tiny_files["model.safetensors"], 12)}
    place.hub.repo("model", "org/tiny", files)
    place.write()
    place.check()
    place.hub.troubles.append(Trouble(r"GET .*/model\.safetensors", 1, cut_after=11 * 2**20))

    said = place.stage("fetch_model", "--model", "tiny")

    asked = place.hub.seen("GET /org/tiny/resolve/")
    ranges = [one.headers.get("range") for one in asked if "safetensors" in one.line]
    assert ranges == [None, f"bytes={10 * 2**20}-"]
    assert "Trying to resume download" in said
    assert "fetching org/tiny" in said
    pin = place.read("data/models/tiny.json")
    assert pin["files"]["model.safetensors"]["bytes"] == len(files["model.safetensors"])
