# Checked with hadolint 2.15.1, not built by us yet.
#
# The model and its page, nothing else (the default target):
#
#     docker build --target light --tag springfield:light .
#     docker run --rm -v "$PWD/models:/springfield/models:ro" -v "$PWD/pictures:/pictures:ro" \
#         springfield:light predict /pictures
#     docker run --rm --network host -v "$PWD/models:/springfield/models:ro" \
#         springfield:light app --no-browser
#
# The page listens on the loopback address only, so it needs the host's network; where there is none,
# `app --build FOLDER` writes it into a mounted folder, for any static host.
#
# The whole pipeline; what it writes is copied out of the container afterwards:
#
#     docker build --target full --tag springfield:full .
#     docker run --name run --gpus all --shm-size 8g springfield:full make repro
#     docker cp run:/springfield/models . && docker cp run:/springfield/reports .
#
# --gpus all: leave it out where there is no NVIDIA GPU.
# --shm-size: loader processes hand batches over in shared memory, of which Docker gives 64 MB.

FROM node:22-slim AS nodejs

FROM nodejs AS page
WORKDIR /page
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
WORKDIR /page/node_modules/onnxruntime-web/dist
# A third of them: what springfield.serving.page names RUNTIME.
RUN mkdir /runtime && cp \
    ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm \
    ort.webgpu.min.mjs ort-wasm-simd-threaded.asyncify.mjs ort-wasm-simd-threaded.asyncify.wasm \
    /runtime

FROM python:3.12-slim AS installed
WORKDIR /build
RUN python -m venv /opt/springfield
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY src src
# The locked versions, without the hashes: pip refuses them for a local folder.
RUN sed -E '/--hash=/d; s/ \\$//' requirements.txt > constraints.txt \
    && /opt/springfield/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim AS full
# g++ is for train.compile=true.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git make openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=nodejs /usr/local/bin/node /usr/local/bin/node
COPY --from=nodejs /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && useradd --create-home --uid 1000 springfield \
    && install --directory --owner=springfield --group=springfield /springfield
WORKDIR /springfield
USER 1000
# First what seldom changes: 7 GB.
COPY --chown=springfield:springfield requirements.txt ./
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY --chown=springfield:springfield . .
RUN make .venv/.installed web/node_modules/.package-lock.json
ENV PATH=/springfield/.venv/bin:$PATH \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["make", "repro"]

FROM python:3.12-slim AS light
RUN useradd --create-home --uid 1000 springfield
COPY --from=installed /opt/springfield /opt/springfield
WORKDIR /springfield
COPY web web
COPY --from=page /runtime web/node_modules/onnxruntime-web/dist
USER 1000
ENV PATH=/opt/springfield/bin:$PATH
ENTRYPOINT ["springfield"]
CMD ["--help"]
