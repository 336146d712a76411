"""Which points of the grid answer for which bag, and what their answers cost."""

import torch
import torch.nn.functional as F

from graph import BINS, STRIDES

# Points that answer for one box.
CANDIDATES = 9
# Alignment of a point with a box: score ** ALPHA * iou ** BETA.
ALPHA, BETA = 0.5, 4.0
# Weight of ground that the network takes for a bag, in pictures with and without bags. Pictures
# with bags have bags that nobody marked, so their ground counts for less.
GROUND_WITH_BAGS, GROUND_WITHOUT = 0.35, 1.0


def points(size):
    """Centres f32[N, 2] and strides f32[N] of the rows of the outputs, input pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        side = size // stride
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((side * side,), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode(dists, centres, strides):
    """Boxes f32[..., N, 4] from distributions f32[..., N, 4, 11]."""
    reach = (dists.softmax(-1) * torch.arange(BINS, dtype=torch.float32)).sum(-1) * strides[:, None]
    return torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)


def overlap(a, b):
    """(IoU, generalised IoU) of boxes, broadcast over the leading dimensions."""
    left, right = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (right - left).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    iou = inter / union.clamp(min=1e-6)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


@torch.no_grad()
def assign(scores, boxes, truth, centres, strides):
    """For every point the index of its box or -1 (i64[N]), and its target score (f32[N])."""
    n = len(centres)
    owner = torch.full((n,), -1, dtype=torch.long)
    target = torch.zeros(n)
    if not len(truth):
        return owner, target
    inside = ((centres[None] > truth[:, None, :2]) & (centres[None] < truth[:, None, 2:])).all(-1)
    # The distribution reaches ten strides to each side: a larger box needs a coarser level.
    reach = torch.maximum(centres[None] - truth[:, None, :2], truth[:, None, 2:] - centres[None]).amax(-1)
    inside &= reach < (BINS - 1) * strides
    # A bag smaller than the grid has the point nearest to its centre.
    nearest = ((centres[None] - (truth[:, None, :2] + truth[:, None, 2:]) / 2) ** 2).sum(-1).argmin(1)
    lonely = ~inside.any(1)
    inside[lonely, nearest[lonely]] = True
    iou = overlap(boxes[None], truth[:, None])[0]
    align = scores[None] ** ALPHA * iou**BETA * inside + 1e-9 * inside
    best, index = align.topk(min(CANDIDATES, n), 1)
    chosen = torch.zeros_like(align, dtype=torch.bool).scatter_(1, index, best > 0)
    align = align * chosen
    power, of = align.max(0)
    taken = power > 0
    owner[taken] = of[taken]
    top_align = align.amax(1).clamp(min=1e-9)
    top_iou = (iou * chosen).amax(1)
    target[taken] = (power[taken] / top_align[of[taken]] * top_iou[of[taken]]).clamp(0.05, 1)
    return owner, target


def loss(logits, dists, truths, ignored, centres, strides):
    """Cost of a batch (sum of three parts) and the parts for the log.

    logits f32[B, N, 1], dists f32[B, N, 4, 11]; truths and ignored: per picture f32[n, 4].
    """
    logits = logits[..., 0]
    scores = logits.detach().sigmoid()
    boxes = decode(dists, centres, strides)
    owners, targets, weights = [], [], []
    for k, truth in enumerate(truths):
        owner, target = assign(scores[k], boxes[k].detach(), truth, centres, strides)
        ground = torch.full_like(target, GROUND_WITH_BAGS if len(truth) else GROUND_WITHOUT)
        for box in ignored[k]:
            ground[((centres > box[:2]) & (centres < box[2:])).all(-1)] = 0
        owners.append(owner)
        targets.append(target)
        weights.append(ground)
    owner, target, ground = torch.stack(owners), torch.stack(targets), torch.stack(weights)
    taken = owner >= 0
    norm = target.sum().clamp(min=1.0)
    # Quality focal loss: the target is the quality of the box, easy ground costs next to nothing.
    focus = (target - scores).abs() ** 2
    weight = torch.where(taken, torch.ones_like(target), ground)
    quality = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * focus * weight).sum() / norm
    if not taken.any():
        return quality, (float(quality), 0.0, 0.0)
    aim = torch.cat([truths[k][owner[k][taken[k]]] for k in range(len(truths))])
    share = target[taken]
    giou = overlap(boxes[taken], aim)[1]
    box_cost = ((1 - giou) * share).sum() / norm
    place = centres.expand(len(truths), -1, -1)[taken]
    step = strides.expand(len(truths), -1)[taken]
    sides = torch.cat([place - aim[:, :2], aim[:, 2:] - place], -1) / step[:, None]
    sides = sides.clamp(0, BINS - 1 - 0.01)
    low = sides.long()
    part = sides - low
    odds = dists[taken].log_softmax(-1)
    spread = -(odds.gather(-1, low[..., None])[..., 0] * (1 - part) + odds.gather(-1, low[..., None] + 1)[..., 0] * part)
    spread_cost = (spread.mean(-1) * share).sum() / norm
    total = quality + 2.0 * box_cost + 0.25 * spread_cost
    return total, (float(quality.detach()), float(box_cost.detach()), float(spread_cost.detach()))
