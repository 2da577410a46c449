"""One training step of the benchmark's GPT in JAX (XLA on the CPU), timed.

usage: peer_jax.py CONFIG.json BATCH STEPS DATA
Prints JSON: seconds and processor seconds per step (medians), first losses,
peak memory in bytes."""
import json
import os
import resource
import statistics
import sys
import time

os.environ["XLA_FLAGS"] = ("--xla_cpu_multi_thread_eigen=false "
                           "intra_op_parallelism_threads=1")
import jax
import jax.numpy as jnp
import numpy as np


def parameters(c, rng):
    h, v, s, layers = c["n_embd"], c["vocab_size"], c["n_positions"], c["n_layer"]
    normal = lambda *shape: jnp.asarray(rng.normal(0, 0.02, shape), jnp.float32)
    layer = lambda: {
        "ln1": (jnp.ones(h), jnp.zeros(h)), "ln2": (jnp.ones(h), jnp.zeros(h)),
        "qkv": (normal(h, 3 * h), jnp.zeros(3 * h)),
        "out": (normal(h, h), jnp.zeros(h)),
        "fc": (normal(h, 4 * h), jnp.zeros(4 * h)),
        "proj": (normal(4 * h, h), jnp.zeros(h))}
    return {"wte": normal(v, h), "wpe": normal(s, h),
            "ln": (jnp.ones(h), jnp.zeros(h)),
            "layers": [layer() for _ in range(layers)]}


def norm(x, p):
    mean = x.mean(-1, keepdims=True)
    d = x - mean
    return d * jax.lax.rsqrt((d * d).mean(-1, keepdims=True) + 1e-5) * p[0] + p[1]


def loss_of(params, tokens, labels, heads):
    x = params["wte"][tokens] + params["wpe"]
    b, s, h = x.shape
    mask = jnp.tril(jnp.ones((s, s), bool))
    for p in params["layers"]:
        qkv = norm(x, p["ln1"]) @ p["qkv"][0] + p["qkv"][1]
        q, k, v = (t.reshape(b, s, heads, h // heads).transpose(0, 2, 1, 3)
                   for t in jnp.split(qkv, 3, -1))
        a = q @ k.transpose(0, 1, 3, 2) / (h // heads) ** 0.5
        a = jax.nn.softmax(jnp.where(mask, a, -jnp.inf), -1) @ v
        x = x + a.transpose(0, 2, 1, 3).reshape(b, s, h) @ p["out"][0] + p["out"][1]
        f = jax.nn.gelu(norm(x, p["ln2"]) @ p["fc"][0] + p["fc"][1], approximate=True)
        x = x + f @ p["proj"][0] + p["proj"][1]
    logits = norm(x, params["ln"]) @ params["wte"].T
    picked = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(logits, -1) - picked).mean()


def step(state, tokens, labels, heads):
    params, m, v, t = state
    loss, g = jax.value_and_grad(loss_of)(params, tokens, labels, heads)
    total = jnp.sqrt(sum((x * x).sum() for x in jax.tree.leaves(g)))
    g = jax.tree.map(lambda x: x * jnp.minimum(1.0, 1.0 / total), g)
    t = t + 1
    m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
    v = jax.tree.map(lambda a, b: 0.95 * a + 0.05 * b * b, v, g)
    def update(p, a, b):
        ratio = (a / (1 - 0.9 ** t)) / (jnp.sqrt(b / (1 - 0.95 ** t)) + 1e-8)
        return p - 3e-4 * (ratio + (0.1 * p if p.ndim > 1 else 0))
    return (jax.tree.map(update, params, m, v), m, v, t), loss


def main():
    config = json.load(open(sys.argv[1]))
    batch, steps, data = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    text = np.frombuffer(open(data, "rb").read(), np.uint8).astype(np.int32)
    rng, s = np.random.default_rng(0), config["n_positions"]
    params = parameters(config, rng)
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros(), zeros(), jnp.zeros((), jnp.float32))
    compiled = jax.jit(step, static_argnums=3, donate_argnums=0)
    times, busy, losses = [], [], []
    for i in range(steps + 2):
        at = rng.integers(0, len(text) - s - 1, batch)
        rows = np.stack([text[a:a + s + 1] for a in at])
        begin, work = time.perf_counter(), time.process_time()
        state, loss = compiled(state, rows[:, :-1], rows[:, 1:], config["n_head"])
        losses.append(float(loss))
        if i >= 2:
            times.append(time.perf_counter() - begin)
            busy.append(time.process_time() - work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peer": f"jax {jax.__version__}", "peak_bytes": peak,
                      "step_seconds": statistics.median(times),
                      "step_cpu_seconds": statistics.median(busy),
                      "losses": losses[:3]}))


main()
