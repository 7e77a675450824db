# One image with and without a GPU; PyTorch's wheels bring CUDA along, so the host needs its driver alone.
#
#   docker build -t moclip .                              CUDA: run it with `--gpus all`
#   docker build -t moclip --build-arg CPU_INDEX=URL .    CPU: URL is PyTorch's index of CPU builds (pytorch.org says which)
#   docker run --rm -it -v "$PWD:/home/moclip/moclip" moclip make repro
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install -y --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home moclip
USER moclip
WORKDIR /home/moclip/moclip

# Outside the folder of the code, which a devcontainer mounts over; the Makefile reads VENV.
ENV VENV=/home/moclip/venv
ENV PATH=/home/moclip/venv/bin:$PATH

# The packages first: a change of the code installs none of them again.
COPY --chown=moclip Makefile pyproject.toml requirements.lock README.md LICENSE ./
COPY --chown=moclip moclip/__init__.py moclip/
ARG CPU_INDEX=
RUN if [ -n "$CPU_INDEX" ]; then PIP_EXTRA_INDEX_URL="$CPU_INDEX" make "$VENV/.installed" HASHES=0; \
    else make "$VENV/.installed"; fi \
 && rm -rf /home/moclip/.cache

COPY --chown=moclip . .
RUN touch "$VENV/.installed"
EXPOSE 5000
CMD ["make", "repro"]
