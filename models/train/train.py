"""Train the bundled ResNet-20 on CIFAR-10, on a CPU.

Two kinds of training images are mixed: all 50,000 of them after JPEG
compression (a tar archive or a folder with one sub-folder a class), and a few
thousand lossless ones (CIFAR binary records). See README.md.
"""

import argparse
import io
import json
import os
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from PIL import Image

from model import CLASSES, MEAN, STD, ResNet20


def load_jpeg(path: Path, cache: Path):
    """All JPEG pictures as (uint8 [N,3,32,32], labels)."""
    if cache.exists():
        z = np.load(cache)
        return z["x"], z["y"]
    pictures = []  # (class, file name, pixels)

    def add(name: str, data: bytes):
        label = CLASSES.index(Path(name).parent.name)
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        pictures.append((label, Path(name).name, pixels))

    if path.is_dir():
        for file in path.rglob("*.jpg"):
            add(str(file), file.read_bytes())
    else:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".jpg"):
                    add(member.name, tar.extractfile(member).read())
    pictures.sort(key=lambda p: p[:2])
    x = np.stack([p[2] for p in pictures]).transpose(0, 3, 1, 2).copy()
    y = np.array([p[0] for p in pictures], np.int64)
    np.savez(cache, x=x, y=y)
    return x, y


def load_records(path: Path):
    """CIFAR binary records: one label byte, then the R, G and B planes."""
    d = np.fromfile(path, np.uint8).reshape(-1, 3073)
    return d[:, 1:].reshape(-1, 3, 32, 32).copy(), d[:, 0].astype(np.int64)


def normalise(x: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return (x.float() / 255 - mean) / std


def random_view(x: torch.Tensor, size: int, pad: int, rng: torch.Generator) -> torch.Tensor:
    """A random crop of size x size (after reflection padding), flipped half of the time."""
    n = x.shape[0]
    side = 32 + 2 * pad
    if pad:
        x = F.pad(x.float(), (pad,) * 4, mode="reflect").to(torch.uint8)
    reach = torch.arange(size)
    top = torch.randint(0, side - size + 1, (n, 1), generator=rng)
    left = torch.randint(0, side - size + 1, (n, 1), generator=rng)
    flip = torch.rand(n, 1, generator=rng) < 0.5
    rows = top + reach
    cols = left + torch.where(flip, reach.flip(0), reach)
    i = torch.arange(n).view(n, 1, 1)
    # Advanced indexing puts the indexed axes first: [n, size, size, 3], that is channels last.
    return x.permute(0, 2, 3, 1)[i, rows.unsqueeze(2), cols.unsqueeze(1)].permute(0, 3, 1, 2)


def epoch_indices(n_jpeg, n_lossless, length, lossless_share, rng):
    """Indices into the concatenation [jpeg, lossless], shuffled; every image of a kind
    comes as often as any other, give or take one."""

    def take(n, count):
        whole = [torch.randperm(n, generator=rng) for _ in range(-(-count // n))]
        return torch.cat(whole)[:count]

    k = round(length * lossless_share)
    both = torch.cat([take(n_jpeg, length - k), n_jpeg + take(n_lossless, k)])
    return both[torch.randperm(length, generator=rng)]


@torch.no_grad()
def recalibrate(model, images, batch=250, rounds=2, seed=0):
    """Sets every batch norm's statistics to the average over augmented views of `images`."""
    rng = torch.Generator().manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # cumulative average
    model.train()
    for _ in range(rounds):
        for i in torch.randperm(len(images), generator=rng).split(batch):
            view = normalise(random_view(images[i], 32, 4, rng))
            model(view.contiguous(memory_format=torch.channels_last))
    model.eval()
    for m in norms:
        m.momentum = 0.1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--jpeg", type=Path, required=True, help="tar archive or folder, one sub-folder a class")
    p.add_argument("--lossless", type=Path, required=True, help="CIFAR binary records")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    p.add_argument("--epochs", type=int, default=34)
    p.add_argument("--epoch-images", type=int, default=62000)
    p.add_argument("--small-epochs", type=int, default=16, help="leading epochs on 24x24 crops")
    p.add_argument("--final-epochs", type=int, default=5, help="last epochs, with more lossless images")
    p.add_argument("--lossless-share", type=float, default=0.2)
    p.add_argument("--final-share", type=float, default=0.4)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.15)
    p.add_argument("--warmup", type=float, default=0.12, help="share of all steps")
    p.add_argument("--weight-decay", type=float, default=5e-4)
    p.add_argument("--label-smoothing", type=float, default=0.0)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--seed", type=int, default=20)
    p.add_argument("--workers", type=int, default=2, help="processes of one thread; each takes its part of a batch")
    p.add_argument("--no-compile", action="store_true", help="without torch.compile")
    p.add_argument("--float32", action="store_true", help="without bfloat16 autocast")
    a = p.parse_args()

    a.out.mkdir(parents=True, exist_ok=True)
    load_jpeg(a.jpeg, a.out / "jpeg.npz")
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29620")
    mp.spawn(train, (a,), nprocs=a.workers)


def train(rank: int, a: argparse.Namespace):
    dist.init_process_group("gloo", rank=rank, world_size=a.workers)
    # One thread: a process then waits for the others once a step, not once an operation.
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    say = print if rank == 0 else lambda *_, **__: None
    xj, yj = load_jpeg(a.jpeg, a.out / "jpeg.npz")
    xl, yl = load_records(a.lossless)
    x = torch.from_numpy(np.concatenate([xj, xl]))
    y = torch.from_numpy(np.concatenate([yj, yl]))
    say(f"{len(xj)} JPEG and {len(xl)} lossless training images", flush=True)

    model = ResNet20().to(memory_format=torch.channels_last)
    ema = ResNet20()
    ema.load_state_dict(model.state_dict())
    ema.requires_grad_(False)
    decay = [q for q in model.parameters() if q.ndim > 1]
    plain = [q for q in model.parameters() if q.ndim == 1]
    groups = [{"params": decay, "weight_decay": a.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    gradients = decay + plain
    opt = torch.optim.SGD(groups, lr=a.lr, momentum=0.9, nesterov=True)

    checkpoint = a.out / "checkpoint.pt"
    first, first_step = 0, 0
    if checkpoint.exists():
        s = torch.load(checkpoint)
        model.load_state_dict(s["model"])
        ema.load_state_dict(s["ema"])
        opt.load_state_dict(s["opt"])
        first, first_step = s["epoch"], s.get("step", 0)
        say(f"resuming after epoch {first}, step {first_step}", flush=True)

    def save(epoch, step):
        if rank != 0:
            return
        state = dict(model=model.state_dict(), ema=ema.state_dict(), opt=opt.state_dict(), epoch=epoch, step=step)
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").rename(checkpoint)

    def losses(view, target):
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            logits = model(view)
        logits = logits.float()
        loss = F.cross_entropy(logits, target, label_smoothing=a.label_smoothing)
        return loss, logits.argmax(1)

    step_fn = losses if a.no_compile else torch.compile(losses, dynamic=False)
    per_epoch = a.epoch_images // a.batch
    total = per_epoch * a.epochs
    model.train()
    for epoch in range(first, a.epochs):
        rng = torch.Generator().manual_seed(a.seed * 1000 + epoch)
        skip, first_step = first_step, 0
        share = a.final_share if epoch >= a.epochs - a.final_epochs else a.lossless_share
        size, pad = (24, 0) if epoch < a.small_epochs else (32, 4)
        order = epoch_indices(len(xj), len(xl), per_epoch * a.batch, share, rng)
        start, sums = time.time(), torch.zeros(5)
        for k, i in enumerate(order.split(a.batch)):
            if k < skip:
                continue
            rng.manual_seed(((a.seed * 1000 + epoch) * 1000 + k) * 100 + rank)
            t = (epoch * per_epoch + k) / total
            lr = a.lr * min(t / a.warmup, (1 - t) / (1 - a.warmup))
            for g in opt.param_groups:
                g["lr"] = lr
            i = i[rank :: a.workers]
            view = normalise(random_view(x[i], size, pad, rng))
            loss, guess = step_fn(view.contiguous(memory_format=torch.channels_last), y[i])
            opt.zero_grad()
            loss.backward()
            flat = torch.cat([q.grad.flatten() for q in gradients])
            dist.all_reduce(flat)
            flat /= a.workers
            for q, g in zip(gradients, flat.split([q.numel() for q in gradients])):
                q.grad.copy_(g.view_as(q.grad))
            opt.step()
            n = epoch * per_epoch + k
            rate = min(a.ema, (1 + n) / (10 + n))
            with torch.no_grad():
                torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - rate)
                hit, clean = guess == y[i], i >= len(xj)
                sums += torch.stack([loss, (hit & ~clean).sum(), (~clean).sum(), (hit & clean).sum(), clean.sum()])
            if k % 50 == 49:
                say(f"  epoch {epoch + 1} step {k + 1}/{per_epoch} loss {sums[0] / (k + 1 - skip):.4f} "
                      f"{(time.time() - start):.0f} s", flush=True)
                save(epoch, k + 1)
        # Running statistics of the average: those of the trained network, until export.
        for b, c in zip(ema.buffers(), model.buffers()):
            b.copy_(c)
        dist.all_reduce(sums)
        line = dict(epoch=epoch + 1, of=a.epochs, size=size, lossless_share=share, lr=round(lr, 5),
                    loss=round(float(sums[0]) / a.workers / (per_epoch - skip), 4), train_top1_jpeg=round(float(sums[1] / sums[2]), 4),
                    train_top1_lossless=round(float(sums[3] / sums[4]), 4), seconds=round(time.time() - start))
        say(json.dumps(line), flush=True)
        if rank == 0:
            with open(a.out / "log.jsonl", "a") as f:
                f.write(json.dumps(line) + "\n")
        save(epoch + 1, 0)

    # The average of the weights has no statistics of its own: measure them, on the kind of
    # images that the network is meant for.
    if rank == 0:
        recalibrate(ema, torch.from_numpy(xl))
        torch.save(ema.state_dict(), a.out / "final.pt")
        say("wrote final.pt", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
