#!/usr/bin/env python3
"""Trains the trash-bag detector from NanoDet-g.

    train.py NANODET.onnx TRASHBAGS BACKGROUNDS OUT --steps N [--stop N] [--start last.pt] [--seed N]

TRASHBAGS is the folder of the data set (train/images, train/labels); BACKGROUNDS the folder that
backgrounds.py made; OUT receives last.pt and log.txt. One thread; the same seed on the same kind
of processor gives the same weights.

The network's class rows are replaced by one, the heads learn alone for the first steps, then all
but the first convolutions. The rate of learning falls along a cosine over N steps; `--stop` ends
earlier. With `--start` training goes on from weights of an earlier run, and hard negatives are
looked for at the start and half-way: photographs on which the network so far sees bags are drawn
more often from then on.
"""

import argparse
import math
import os
import time

import cv2
import numpy as np
import torch

import pictures
from augment import Maker
from graph import Network
from loss import loss, points

MEAN = torch.tensor([103.53, 116.28, 123.675]).view(1, 3, 1, 1)
STD = torch.tensor([57.375, 57.12, 58.395]).view(1, 3, 1, 1)
# COCO rows that the new class starts from: backpack, handbag, suitcase.
START_ROWS = [24, 26, 28]
# Share of points that are bags at the start, as a logit.
START_BIAS = -4.6
# Sides of the input, one after the other, and the pictures of a step for each: equal work a step.
SIZES = (256, 256, 320, 256, 256, 416, 256, 320)
BATCH = {256: 16, 320: 10, 416: 6}
HEADS_ALONE = 60
WARM_UP = 100
RATE = 6e-4
DECAY = 0.02
AVERAGE = 0.998
MINE_AT = (0.0, 0.5)
LOOSE_BAGS = 600
# First convolutions (down to a quarter of the input), which stay as they are.
FROZEN = 5


def tensor(batch):
    x = torch.from_numpy(np.ascontiguousarray(np.stack(batch).transpose(0, 3, 1, 2))).float()
    return ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def rate(step, steps):
    warm = min(1.0, (step + 1) / min(WARM_UP, steps / 10))
    return RATE * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def letterbox(picture, size=416):
    scale = size / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:size, :size]
    out = np.zeros((size, size, 3), np.uint8)
    y, x = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[y : y + small.shape[0], x : x + small.shape[1]] = small
    return out


@torch.no_grad()
def highest_scores(net, photographs):
    """The highest score on each photograph: whole, and those that are no frames in quarters too."""
    best = []
    for source, _, picture in photographs:
        logits = [net(tensor([letterbox(picture)]))[0].max()]
        if not source.startswith("clip_"):
            h, w = picture.shape[0] // 2, picture.shape[1] // 2
            quarters = [picture[:h, :w], picture[:h, w:], picture[h:, :w], picture[h:, w:]]
            logits.append(net(tensor([letterbox(q, 256) for q in quarters]))[0].max())
        best.append(float(max(logits).sigmoid()))
    return np.array(best)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanodet")
    parser.add_argument("trashbags")
    parser.add_argument("backgrounds")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--stop", type=int)
    parser.add_argument("--start")
    parser.add_argument("--seed", type=int, default=3)
    a = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(a.seed)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(a.seed)
    os.makedirs(a.out, exist_ok=True)
    log = open(os.path.join(a.out, "log.txt"), "a", buffering=1)

    def say(text):
        print(text, flush=True)
        log.write(text + "\n")

    bags = pictures.trash_bags(os.path.join(a.trashbags, "train"))
    del bags[pictures.HELD_BACK]
    loose = pictures.cut_outs(bags, LOOSE_BAGS, a.seed)
    photographs = pictures.photographs(a.backgrounds, "train")
    # Frames of one clip are near copies of each other: together they count as a few photographs.
    sources = [source for source, _, _ in photographs]
    weights = np.array([1.0 if not s.startswith("clip_") else 25.0 / sources.count(s) for s in sources])
    grounds = [picture for _, _, picture in photographs]
    things = pictures.stamps(a.backgrounds)
    say(f"{len(bags)} pictures of bags, {len(loose)} loose bags, {len(grounds)} grounds, {len(things)} things")
    maker = Maker([(p, pictures.content_mask(p), b[:, 1:]) for _, p, b in bags], loose, grounds, weights, things)

    net = Network(a.nanodet)
    net.single_class(START_ROWS, START_BIAS)
    net = net.to(memory_format=torch.channels_last)
    if a.start:
        net.load(torch.load(a.start))
    net.freeze(FROZEN)
    heads = {name for _, w, b in net.heads for name in (w, b)}
    body = [p for n, p in net.weights.items() if n not in heads and p.requires_grad]
    ends = [p for n, p in net.weights.items() if n in heads]
    optimizer = torch.optim.AdamW([{"params": body}, {"params": ends}], lr=RATE, weight_decay=DECAY)
    average = {n: p.detach().clone() for n, p in net.weights.items()}
    grids = {size: points(size) for size in set(SIZES)}
    mine_at = {int(share * a.steps) for share in MINE_AT} if a.start else set()
    stop = min(a.stop or a.steps, a.steps)
    began, sums = time.time(), np.zeros(3)
    for step in range(stop):
        if step in mine_at:
            best = highest_scores(net, photographs)
            # Up to eight times as often where the network is surest of a bag that is not there.
            maker.set_weights(weights * (1 + 7 * np.clip((best - 0.15) / 0.35, 0, 1)))
            order = best.argsort()[::-1][:5]
            say(f"mined at {step}: {(best > 0.3).sum()} of {len(best)} above 0.3; "
                + ", ".join(f"{photographs[k][0]}/{photographs[k][1]} {best[k]:.2f}" for k in order))
        size = SIZES[step % len(SIZES)]
        drawn = [maker.draw(rng, size) for _ in range(BATCH[size])]
        alone = step < HEADS_ALONE and not a.start
        for group, share in zip(optimizer.param_groups, (0.0 if alone else 0.5, 1.0)):
            group["lr"] = rate(step, a.steps) * share
        logits, dists = net(tensor([d[0] for d in drawn]))
        truths = [torch.from_numpy(d[1]) for d in drawn]
        ignored = [torch.from_numpy(d[2]) for d in drawn]
        cost, parts = loss(logits, dists, truths, ignored, *grids[size])
        optimizer.zero_grad(set_to_none=True)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        keep = min(AVERAGE, (1 + step) / (10 + step))
        for n, p in net.weights.items():
            average[n].lerp_(p.detach(), 1 - keep)
        sums += parts
        if (step + 1) % 20 == 0:
            say(f"step {step + 1} quality {sums[0] / 20:.3f} box {sums[1] / 20:.3f} spread {sums[2] / 20:.3f} "
                f"{(time.time() - began) / (step + 1):.2f} s a step")
            sums[:] = 0
        if (step + 1) % 100 == 0 or step + 1 == stop:
            torch.save(average, os.path.join(a.out, "last.pt"))


if __name__ == "__main__":
    main()
