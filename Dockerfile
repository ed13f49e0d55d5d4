# CPU:  docker build --tag leo-rl .
# CUDA: docker build --tag leo-rl:cuda --build-arg TORCH_INDEX=https://pypi.org/simple --build-arg JAX="jax[cuda13]" .
# Use:  docker run --rm --volume "$PWD/runs:/leo/runs" leo-rl train leodqn GridWorld    (CUDA: with --gpus all)
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG JAX=jax

# MuJoCo renders through EGL.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 \
    && rm -rf /var/lib/apt/lists/*
ENV MUJOCO_GL=egl

WORKDIR /leo
COPY . .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt torch "$JAX" ".[all]"

ENTRYPOINT ["leo"]
CMD ["--help"]
