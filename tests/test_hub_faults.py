"""What cannot be had from the Hub is refused with what to do, and no token is told."""

import json
from errno import ENOSPC
from pathlib import Path

import pytest
from hub_place import EACH, NO_HUB, Place, reviews

from tunebench.data.sources import fetching, hub_faults, repository
from tunebench.data.sources.repository import Repository
from tunebench.errors import SourceError

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"


def test_damaged_files_are_refused_before_they_are_read(
    place: Place, tiny_files: dict[str, bytes]
) -> None:
    data = place.hub.repo("dataset", "org/reviews", reviews("a"))
    model = place.hub.repo("model", "org/tiny", tiny_files)
    for repo, path in (
        (data, "data/test-00000-of-00001.parquet"),
        (model, "tokenizer_config.json"),
    ):
        content = repo.commits[repo.refs["main"]][path]
        repo.sent[path] = bytes(len(content))
    place.write()
    place.check()
    both = "download:reviews", "fetch_model:tiny"

    damaged = (
        "hub: {} at {} has not the size and hash that the Hub states; it was damaged on the way,"
        " and is removed from the cache: run again to fetch it anew"
    )
    assert place.each(*both) == {
        "reviews": damaged.format(
            "data/test-00000-of-00001.parquet of org/reviews", data.refs["main"][:12]
        ),
        "tiny": damaged.format("tokenizer_config.json of org/tiny", model.refs["main"][:12]),
    }
    assert not (place.folder / "data/raw/reviews").exists()
    data.sent.clear()
    model.sent.clear()
    assert place.each(*both) == {"reviews": "done", "tiny": "done"}


def test_what_cannot_be_had_says_what_to_do(place: Place, tiny_files: dict[str, bytes]) -> None:
    endpoint = place.hub.endpoint
    place.hub.repo("dataset", "org/gated", reviews("a"), gated=True, token=TOKEN)
    place.hub.repo("dataset", "org/private", reviews("a"), token=TOKEN)
    place.hub.repo("dataset", "org/reviews", reviews("a"))
    place.hub.repo("dataset", "org/scripted", {"scripted.py": b"raise SystemExit"})
    place.hub.repo("dataset", "org/images", {"train/1.png": b"png"})
    place.hub.repo("dataset", "org/packed", {"README.md": b"---\na: [\n---\n", "all.zip": b"zip"})
    place.hub.repo("dataset", "org/broken", {"train.parquet": b"no", "test.parquet": b"no"})
    outside = place.folder / "outside.csv"
    outside.write_text("text,label\na,b\n")
    card = f"---\nconfigs:\n- {{config_name: a, data_files: {outside}}}\n---\n".encode()
    place.hub.repo("dataset", "org/outside", {"README.md": card, "train.csv": b"a,b\n"})
    place.hub.repo("model", "org/llama", tiny_files, gated=True, token=TOKEN)
    place.hub.repo("model", "org/pickled", {"config.json": b"{}", "pytorch_model.bin": b""})
    place.hub.repo("model", "org/adapter", {"adapter_config.json": b"{}"})
    names = ("gated", "private", "scripted", "images", "packed", "broken", "outside", "missing")
    place.write(
        {name: {"hub": f"org/{name}"} for name in names}
        | {"no_revision": {"hub": "org/reviews", "revision": "mian"}},
        {name: {"hub": f"org/{name}"} for name in ("llama", "pickled", "adapter", "absent")},
    )
    place.check()
    tasks = [f"download:{name}" for name in (*names, "no_revision")]
    tasks += [f"fetch_model:{name}" for name in ("llama", "pickled", "adapter", "absent")]

    assert place.each(*tasks) == {
        "gated": f"hub: org/gated is gated; accept its licence at {endpoint}/datasets/org/gated"
        " with your account, and set HF_TOKEN to a token of that account that may read gated"
        " repositories",
        "llama": f"hub: org/llama is gated; accept its licence at {endpoint}/org/llama with your"
        " account, and set HF_TOKEN to a token of that account that may read gated repositories",
        **{
            name: f"hub: there is no {kind} 'org/{name}' at {endpoint}, or it is private; mend the"
            " name, or set HF_TOKEN to a token that may read it"
            for name, kind in (
                ("private", "data set"),
                ("missing", "data set"),
                ("absent", "model"),
            )
        },
        "no_revision": "revision: 'mian' is not in org/reviews; did you mean 'main'?",
        "scripted": "hub: org/scripted runs code of its own to load (scripted.py), which is"
        " refused; try revision: refs/convert/parquet, the Hub's conversion of it, or name a copy"
        " as Parquet, CSV or JSON lines",
        **{
            name: f"hub: org/{name} holds no rows of text that can be read; name a repository with"
            " Parquet, CSV, JSON or text files that are not packed"
            for name in ("images", "packed")
        },
        "outside": f"hub: org/outside names a file outside of itself: {outside}",
        "broken": "hub: the files of org/broken are not alike, or not what their names say (Parquet"
        " file size is 2 bytes, smaller than the minimum file footer (8 bytes)); name a config, or"
        " another revision",
        "pickled": "hub: org/pickled holds no weights (model*.safetensors in its top folder); its"
        " weights could run code when read: choose a repository with safetensors, or convert it"
        " and give path:",
        "adapter": "hub: org/adapter holds no weights (model*.safetensors in its top folder); it is"
        " an adapter: name its base model",
    }
    assert not place.hub.seen("/resolve/main/scripted.py")

    refused = place.each("download:gated", "fetch_model:absent", HF_TOKEN="bad")
    assert refused["gated"].startswith(f"hub: {endpoint} refuses the token (401); set HF_TOKEN")

    # with the right token all opens, and the token stays where it is
    done = place.run("-c", EACH, *tasks[:2], "fetch_model:llama", HF_TOKEN=TOKEN)
    assert json.loads(done.stdout) == {"gated": "done", "private": "done", "llama": "done"}
    assert place.hub.seen("org/private")[-1].headers["authorization"] == f"Bearer {TOKEN}"
    failed = place.run("-c", EACH, "fetch_model:absent", HF_TOKEN=TOKEN)
    written = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(written) > 20
    for output in (done, failed):
        assert TOKEN not in output.stdout + output.stderr
    for path in written:
        assert TOKEN.encode() not in path.read_bytes(), path


def test_no_network_and_not_in_the_cache(place: Place) -> None:
    place.write()
    place.check()
    both = "download:reviews", "fetch_model:tiny"
    remedy = (
        "check the network, set HF_ENDPOINT to a mirror, or set HF_HUB_OFFLINE=1 if it is in the"
        " cache"
    )
    assert place.each(*both, HF_ENDPOINT=NO_HUB) == {
        "reviews": f"hub: there is no connection to {NO_HUB} for org/reviews; {remedy}",
        "tiny": f"hub: there is no connection to {NO_HUB} for org/tiny; {remedy}",
    }
    cache = place.home / "hub"
    assert place.each(*both, HF_HUB_OFFLINE="1") == {
        key: f"hub: {name} is not in the cache {cache}, or not the whole of it, and HF_HUB_OFFLINE"
        " is set; unset it and run again with a network"
        for key, name in (("reviews", "org/reviews"), ("tiny", "org/tiny"))
    }


@pytest.mark.parametrize("name", ["org name/x", "a/b/c", "../x", "org/", "a--b", ""])
def test_impossible_names_are_told_by_check(name: str) -> None:
    with pytest.raises(SourceError, match="is no repository name; write owner/name"):
        repository.check_name(name)
    repository.check_name("HuggingFaceH4/zephyr-7b-beta")
    repository.check_name("gpt2")


def test_full_disk_is_told_as_one() -> None:
    asked = Repository("org/tiny", "model")
    with (
        pytest.raises(SourceError, match=r"the disk of .* is full; make room, or set HF_HOME"),
        hub_faults.explained(asked),
    ):
        raise OSError(ENOSPC, "No space left on device")


def test_want_of_room_is_told_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import RepoFile, constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    file = RepoFile(path="model.safetensors", size=14 * 10**15, oid="0" * 40)
    asked = Repository("org/tiny", "model")
    with pytest.raises(SourceError, match=r"needs 14,000,000\.0 GB more in .* are free; make room"):
        fetching.fetch(asked, "0" * 40, {file.path: file})
