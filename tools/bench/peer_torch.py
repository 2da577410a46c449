"""One training step of the benchmark's GPT in eager PyTorch, timed.

usage: peer_torch.py CONFIG.json BATCH STEPS DATA
Prints JSON: seconds and processor seconds per step (medians), first losses,
peak memory in bytes."""
import json
import resource
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, h, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(h), nn.LayerNorm(h)
        self.qkv, self.out = nn.Linear(h, 3 * h), nn.Linear(h, h)
        self.fc, self.proj = nn.Linear(h, 4 * h), nn.Linear(4 * h, h)

    def forward(self, x):
        b, s, h = x.shape
        q, k, v = (t.view(b, s, self.heads, -1).transpose(1, 2)
                   for t in self.qkv(self.ln1(x)).split(h, -1))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, s, h))
        return x + self.proj(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c["n_embd"]
        self.wte = nn.Embedding(c["vocab_size"], h)
        self.wpe = nn.Parameter(torch.empty(c["n_positions"], h))
        self.layers = nn.ModuleList(Block(h, c["n_head"])
                                    for _ in range(c["n_layer"]))
        self.ln = nn.LayerNorm(h)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, tokens, labels):
        x = self.wte(tokens) + self.wpe
        for layer in self.layers:
            x = layer(x)
        logits = self.ln(x) @ self.wte.weight.T
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def main():
    config = json.load(open(sys.argv[1]))
    batch, steps, data = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    text = np.frombuffer(open(data, "rb").read(), np.uint8).astype(np.int64)
    rng, s = np.random.default_rng(0), config["n_positions"]
    model = Gpt(config)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0}],
        lr=3e-4, betas=(0.9, 0.95))
    times, busy, losses = [], [], []
    for i in range(steps + 2):
        at = rng.integers(0, len(text) - s - 1, batch)
        rows = torch.from_numpy(np.stack([text[a:a + s + 1] for a in at]))
        begin, work = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = model(rows[:, :-1], rows[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if i >= 2:
            times.append(time.perf_counter() - begin)
            busy.append(time.process_time() - work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peer": f"torch {torch.__version__}", "peak_bytes": peak,
                      "step_seconds": statistics.median(times),
                      "step_cpu_seconds": statistics.median(busy),
                      "losses": losses[:3]}))


main()
