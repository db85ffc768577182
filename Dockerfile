# syntax=docker/dockerfile:1
# The pinned requirements and this code. For CPUs:
#   docker build -t tunebench .
# For NVIDIA GPUs, with torch's build for CUDA from the public index:
#   docker build -t tunebench:cuda --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 \
#     --build-arg TORCH_INDEX= .
# docs/machine.md says how to run it.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# a CUDA base has no Python, and Triton compiles its kernels with gcc
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git make \
    && if ! command -v python3; then \
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
            python3 python3-dev python3-venv gcc libc6-dev; \
    fi \
    && rm -rf /var/lib/apt/lists/*

# writable by any user: `docker run --user` gives results the owner of the clone
RUN useradd --create-home --non-unique --uid 1000 --shell /bin/bash tunebench \
    && install --directory --owner tunebench /opt/venv /work \
    && install --directory --owner tunebench --mode 1777 /cache /cache/huggingface \
    && chmod 1777 /home/tunebench \
    && git config --system --add safe.directory /work

USER tunebench
WORKDIR /work
ENV HOME=/home/tunebench \
    HF_HOME=/cache/huggingface \
    PATH=/opt/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

# the requirements alone: an edit of the code does not install them again
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --chown=tunebench requirements.txt constraints.txt ./
RUN --mount=type=cache,target=/home/tunebench/.cache/pip,uid=1000 \
    python3 -m venv /opt/venv \
    && pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        --requirement requirements.txt --constraint constraints.txt

COPY --chown=tunebench . .
RUN pip install --no-cache-dir --no-deps --editable .

# models and data sets of the Hub; tokens come from the environment of `docker run`
VOLUME /cache/huggingface
CMD ["tunebench", "doctor"]
