"""A model's own code never runs, nor does anyone ask whether to: not even with "y" piped in."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import Project, environment

from tunebench import models
from tunebench.config.data import Message, Template
from tunebench.config.inference import Server
from tunebench.config.schema import Model, PeftMethod, PromptingMethod
from tunebench.errors import PromptError, SourceError
from tunebench.formatting.templates import build_layout
from tunebench.models import adapters, built_in
from tunebench.prompts import tokenization

Harm = Callable[[Path], None]
PLAIN = PromptingMethod(kind="prompting")


def edit(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | fields))


def plant(folder: Path) -> Path:
    """Code in a model's folder that leaves a mark where it runs, under every name that is read."""
    mark = folder.parent / "marked"
    code = f"open({str(mark)!r}, 'w').close()\nclass Evil:\n    pass\n"
    (folder / "custom_generate").mkdir()
    for name in ("evil.py", "__init__.py", "modeling_evil.py", "custom_generate/generate.py"):
        (folder / name).write_text(code)
    return mark


OWN = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}


def own_type(folder: Path) -> None:
    edit(folder / "config.json", model_type="evil", auto_map=OWN)


def own_type_elsewhere(folder: Path) -> None:
    elsewhere = {key: f"owner/repo--{name}" for key, name in OWN.items()}
    edit(folder / "config.json", model_type="evil", auto_map=elsewhere)


def own_model(folder: Path) -> None:
    """A configuration that transformers has, but no model that writes text."""
    edit(folder / "config.json", model_type="clip", auto_map=OWN)


def own_tokenizer(folder: Path) -> None:
    mapping = {"AutoTokenizer": ["evil.Evil", None]}
    edit(folder / "tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map=mapping)


def own_tokenizer_elsewhere(folder: Path) -> None:
    mapping = {"AutoTokenizer": "owner/repo--evil.Evil"}
    edit(folder / "tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map=mapping)


def own_tokenizer_in_a_list(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map=["evil.Evil"])


def kernel(folder: Path) -> None:
    edit(folder / "config.json", attn_implementation="kernels-community/flash-attn2")


REFUSED: list[tuple[Harm, str]] = [
    (own_type, "config.json: auto_map names code of the model's own (evil.Evil), and transformers"),
    (own_type_elsewhere, "auto_map names code of the model's own (owner/repo--evil.Evil)"),
    (own_model, "transformers has no causal language model of model_type 'clip'; auto_map names"),
    (own_tokenizer, "tokenizer_config.json: auto_map names code of the tokenizer's own (evil.Evil"),
    (own_tokenizer_elsewhere, "code of the tokenizer's own (owner/repo--evil.Evil), and transform"),
    (own_tokenizer_in_a_list, "auto_map names code of the tokenizer's own (evil.Evil), and transf"),
    (kernel, "config.json: 'kernels-community/flash-attn2' is a kernel on the Hub, whose code"),
]


def answered_yes(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """A Python command with "y" on its input, for whoever asks."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(),
        input="y\n" * 9,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("harm", "message"), REFUSED, ids=lambda given: getattr(given, "__name__", "")
)
def test_own_code_is_refused(
    harm: Harm, message: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.folder / "model"
    mark = plant(folder)
    harm(folder)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda *text: asked.append(str(text)) or "y")
    base = models.Base(folder, "0" * 40, Model(path=str(folder)))
    with pytest.raises(SourceError) as caught:
        models.load(base, PLAIN)
        models.load_tokenizer(base)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not asked
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.parametrize("harm", [own_type, own_tokenizer], ids=lambda harm: harm.__name__)
def test_stage_refuses_own_code_whatever_is_answered(harm: Harm, project: Project) -> None:
    mark = plant(project.folder / "model")
    harm(project.folder / "model")
    assert project.run("check").returncode == 0
    done = answered_yes(project.folder, "-m", "stages.fetch_model", "--model", "tiny")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: model/")
    assert "a model's own code is never run here" in line
    assert not mark.exists()
    assert not (project.folder / "data/models/tiny.json").exists()


def test_built_in_class_takes_the_place_of_own_code(project: Project) -> None:
    folder = project.folder / "model"
    mark = plant(folder)
    own = {"AutoTokenizer": ["evil.Evil", None]}
    edit(folder / "config.json", auto_map=OWN, _name_or_path="owner/repo", custom_generate="a/b")
    edit(folder / "tokenizer_config.json", auto_map=own)
    edit(folder / "generation_config.json", custom_generate="owner/repo", eos_token_id=2)
    base = models.Base(folder, "0" * 40, Model(path=str(folder)))
    assert type(models.load(base, PLAIN)).__module__.startswith("transformers.")
    assert len(models.load_tokenizer(base)) == 340
    assert not mark.exists()


def test_no_question_where_another_library_loads(
    tmp_path: Path, tiny: models.Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT loads the tokenizer of an initial prompt, and leaves the answer to whoever types."""
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda *text: asked.append(str(text)) or "y")
    own = tmp_path / "own"
    own.mkdir()
    mark = plant(own)
    edit(own / "config.json", model_type="llama")
    own_tokenizer(own)
    text = {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "good"}
    adapter = {
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": 2,
        "tokenizer_name_or_path": str(own),
    }
    method = PeftMethod.model_construct(kind="peft", adapter=adapter | text, quantization=None)
    with pytest.raises(ValueError, match="custom code"):
        models.with_adapter(models.load(tiny, method), method, {})
    assert not asked
    assert not mark.exists()


def test_modules_that_an_adapter_names_are_not_imported(tmp_path: Path, tiny: models.Base) -> None:
    lora = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    method = PeftMethod(kind="peft", adapter=lora)
    folder = tmp_path / "adapter"
    adapted = models.with_adapter(models.load(tiny, method), method, {})
    adapted.save_pretrained(folder, save_embedding_layers=False)
    named = {"parent_library": "this", "base_model_class": "Evil"}
    edit(folder / "adapter_config.json", auto_mapping=named, base_model_name_or_path="owner/repo")
    assert adapters.restore(models.load(tiny, method), folder, lora).peft_config
    assert "this" not in sys.modules
    edit(folder / "adapter_config.json", megatron_config={"x": 1}, megatron_core="this")
    with pytest.raises(SourceError, match="megatron_config would import the module 'this'"):
        adapters.restore(models.load(tiny, method), folder, lora)
    assert "this" not in sys.modules


HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('touch MARK').read() }}",
    "{% for x in range(10 ** 9) %}{% endfor %}",
    "{{ messages.clear() }}",
    "{{ 1 / 0 }}",
    "{{ none + 1 }}",
    "{% include '/etc/hostname' %}",
    "{% if",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_chat_template_is_rendered_in_a_sandbox(
    text: str, model_folder: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    tokenizer = tokenization.load(model_folder)
    tokenizer.chat_template = text.replace("MARK", str(mark))
    messages = [Message(role="user", content="{text}")]
    with pytest.raises(
        PromptError, match=r"the tokenizer's chat template (refuses|fails)"
    ) as caught:
        build_layout(Template(messages=messages), tokenizer, instruction="", shots=0)
    assert len(str(caught.value).splitlines()) == 1
    assert not mark.exists()


@pytest.mark.parametrize("option", ["--trust-remote-code", "--trust_remote_code=True"])
def test_server_gets_no_leave_to_run_code(option: str) -> None:
    with pytest.raises(
        ValueError, match="--trust-remote-code runs a model's own code; take it out"
    ):
        Server(command=f"transformers serve {{model}} --port {{port}} {option}")


def test_kernel_of_the_hub_is_refused_before_any_work(
    project: Project, valid: dict[str, Any]
) -> None:
    valid["models"]["tiny"]["attn_implementation"] = "kernels-community/flash-attn2"
    project.write_params(valid)
    done = project.run("check")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "models.tiny.attn_implementation: 'kernels-community/flash-attn2' is code from" in line


def test_a_stage_runs_no_code_of_the_hub_and_needs_no_network(project: Project) -> None:
    done = subprocess.run(
        [
            sys.executable, "-c",
            "import os, sys; sys.argv = ['x']; from tunebench import stage\n"
            "names = ('USE_HUB_KERNELS', 'HF_HUB_OFFLINE')\n"
            "stage.run(lambda run: print(*map(os.environ.get, names)), lambda run: [])",
        ],
        env={key: value for key, value in environment().items() if key != "HF_HUB_OFFLINE"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "NO 1\n"


def test_every_load_says_that_no_code_runs() -> None:
    assert built_in.SAFELY == {"trust_remote_code": False, "local_files_only": True}
