"""Making training pictures: bags in their own surroundings, bags put elsewhere, and no bags."""

import cv2
import numpy as np

# Shares of the kinds of training picture; the rest shows no bag.
OWN_SURROUNDINGS = 0.46
PUT_ELSEWHERE = 0.14
# A box of which less than this share is left after cropping is neither a bag nor ground.
LEAST_VISIBLE = 0.4
# Sides of a box, input pixels, below which the same holds.
LEAST_SIDE = 7.0


def warp(picture, mask, matrix, size, ground, nearest=False):
    """Puts `picture` where `mask` is set over `ground`, moved by the affine `matrix`."""
    warped = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if mask is None:
        mask = np.full(picture.shape[:2], 255, np.uint8)
    alpha = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32)[..., None] / 255
    return (warped * alpha + ground * (1 - alpha)).astype(np.uint8)


def moved(boxes, matrix):
    """Boxes f32[n, 4] under an affine matrix: the box around the moved corners, drawn in for turns."""
    l, t, r, b = boxes.T
    corners = np.stack([l, t, r, t, r, b, l, b], 1).reshape(-1, 2)
    corners = (corners @ matrix[:, :2].T + matrix[:, 2]).reshape(-1, 4, 2)
    # The corners of a turned box overstate a round thing: take the mean of the extremes.
    xs, ys = np.sort(corners[..., 0], 1), np.sort(corners[..., 1], 1)
    return np.stack([xs[:, :2].mean(1), ys[:, :2].mean(1), xs[:, 2:].mean(1), ys[:, 2:].mean(1)], 1)


def clip(boxes, size):
    """(boxes to find, boxes to ignore), both cut at the edges of the picture."""
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    cut = boxes.clip(0, size)
    w, h = cut[:, 2] - cut[:, 0], cut[:, 3] - cut[:, 1]
    seen = (w > 2) & (h > 2)
    good = seen & (w * h >= LEAST_VISIBLE * whole) & (np.minimum(w, h) >= LEAST_SIDE)
    return cut[good], cut[seen & ~good]


def photometric(rng, picture):
    """Light, colour, blur, noise and compression as cameras have them."""
    x = picture.astype(np.float32)
    if rng.random() < 0.7:
        x = (x - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-30, 30)
    if rng.random() < 0.15:  # dusk
        x = 255 * (x.clip(0, 255) / 255) ** rng.uniform(1.3, 2.6) * rng.uniform(0.45, 1.0)
    x = x.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        hsv = cv2.cvtColor(x, cv2.COLOR_BGR2HSV).astype(np.int16)
        hsv[..., 0] = (hsv[..., 0] + rng.integers(-12, 13)) % 180
        hsv[..., 1] = (hsv[..., 1] * rng.uniform(0.5, 1.4)).clip(0, 255)
        x = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)
    if rng.random() < 0.08:  # infrared at night
        x = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.15:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < 0.15:
        x = (x + rng.normal(0, rng.uniform(3, 14), x.shape)).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        x = cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])[1], 1)
    return x


def paste(rng, ground, thing, side):
    """Puts a BGRA thing with longest side `side` somewhere; returns its box."""
    scale = side / max(thing.shape[:2])
    thing = cv2.resize(thing, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        thing = thing[:, ::-1]
    h, w = thing.shape[:2]
    size = ground.shape[0]
    x, y = int(rng.integers(0, max(size - w, 1))), int(rng.integers(0, max(size - h, 1)))
    thing = thing[: size - y, : size - x]
    h, w = thing.shape[:2]
    alpha = thing[..., 3:].astype(np.float32) / 255
    part = ground[y : y + h, x : x + w]
    part[:] = (thing[..., :3] * alpha + part * (1 - alpha)).astype(np.uint8)
    return [x, y, x + w, y + h]


def bag_colours(rng, bag):
    """Other bags than the data set has: darker to black, or of another hue."""
    bag = bag.copy()
    chance = rng.random()
    if chance < 0.3:
        grey = cv2.cvtColor(bag[..., :3], cv2.COLOR_BGR2GRAY).astype(np.float32)
        dark = (grey - grey.mean()) * rng.uniform(0.5, 1.0) + rng.uniform(30, 70)
        bag[..., :3] = dark.clip(0, 255).astype(np.uint8)[..., None]
    elif chance < 0.55:
        hsv = cv2.cvtColor(np.ascontiguousarray(bag[..., :3]), cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + rng.integers(0, 180)) % 180
        hsv[..., 1] = (hsv[..., 1] * rng.uniform(0.2, 1.0)).astype(np.uint8)
        bag[..., :3] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return bag


class Maker:
    """Draws training pictures of a given size.

    `bags`: list of (picture, mask, boxes f32[n, 4]); `loose`: bags with alpha; `grounds`: pictures
    without trash with the weight of each; `things`: distractors with alpha.
    """

    def __init__(self, bags, loose, grounds, weights, things):
        self.bags, self.loose, self.grounds, self.things = bags, loose, grounds, things
        self.set_weights(weights)

    def set_weights(self, weights):
        self.chance = np.cumsum(weights) / np.sum(weights)

    def ground(self, rng, size):
        """A part of a photograph without trash."""
        picture = self.grounds[int(np.searchsorted(self.chance, rng.random(), side="right"))]
        h, w = picture.shape[:2]
        # From a sixth of the picture to the whole of it and some padding, mildly stretched.
        zoom = size / min(h, w) * float(np.exp(rng.uniform(np.log(0.6), np.log(2.5))))
        sx, sy = zoom * rng.uniform(0.9, 1.1), zoom * rng.uniform(0.9, 1.1)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        x = rng.uniform(min(size - w * sx, 0), max(size - w * sx, 0))
        y = rng.uniform(min(size - h * sy, 0), max(size - h * sy, 0))
        matrix = np.array([[sx, 0, x], [0, sy, y]], np.float32)
        flags = cv2.INTER_AREA if zoom < 0.7 else cv2.INTER_LINEAR
        return cv2.warpAffine(np.ascontiguousarray(picture), matrix, (size, size), flags=flags)

    def distract(self, rng, picture):
        for _ in range(int(rng.integers(0, 4))):
            if self.things and rng.random() < 0.7:
                thing = self.things[int(rng.integers(len(self.things)))]
            else:  # a rectangle of another photograph, so that edges of pastings mean nothing
                part = self.ground(rng, 128)[: int(rng.integers(40, 128))]
                thing = np.dstack([part, np.full(part.shape[:2], 255, np.uint8)])
            paste(rng, picture, thing, float(np.exp(rng.uniform(np.log(24), np.log(0.6 * picture.shape[0])))))

    def own(self, rng, size):
        picture, mask, boxes = self.bags[int(rng.integers(len(self.bags)))]
        side = picture.shape[0]
        # The network's input at use is 416: bags keep the scale that they have there, jittered.
        zoom = 416 / side * float(np.exp(rng.uniform(np.log(0.35), np.log(1.5))))
        sx, sy = zoom * rng.uniform(0.85, 1.15), zoom * rng.uniform(0.85, 1.15)
        angle = rng.uniform(-12, 12) if rng.random() < 0.5 else 0.0
        flip = -1.0 if rng.random() < 0.5 else 1.0
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        linear = np.array([[sx * c * flip, -sy * s], [sx * s * flip, sy * c]])
        centre = linear @ [side / 2, side / 2]
        slack = abs(size - zoom * side) / 2 + 0.1 * size
        target = [size / 2 + rng.uniform(-slack, slack), size / 2 + rng.uniform(-slack, slack)]
        matrix = np.column_stack([linear, target - centre]).astype(np.float32)
        if rng.random() < 0.35:
            ground = np.full((size, size, 3), 255 if rng.random() < 0.5 else 0, np.uint8)
            out = warp(picture, None, matrix, size, ground)
        else:
            ground = self.ground(rng, size)
            if rng.random() < 0.5:
                self.distract(rng, ground)
            out = warp(picture, mask, matrix, size, ground)
        return out, moved(boxes, matrix)

    def elsewhere(self, rng, size):
        out = self.ground(rng, size)
        if rng.random() < 0.5:
            self.distract(rng, out)
        boxes = []
        for _ in range(int(rng.integers(1, 5))):
            bag = self.loose[int(rng.integers(len(self.loose)))]
            side = float(np.exp(rng.uniform(np.log(18), np.log(150))))
            boxes.append(paste(rng, out, bag_colours(rng, bag), side))
        return out, np.array(boxes, np.float32)

    def draw(self, rng, size):
        """(picture u8[size, size, 3], boxes f32[n, 4], boxes to ignore f32[m, 4])."""
        kind = rng.random()
        if kind < OWN_SURROUNDINGS:
            picture, boxes = self.own(rng, size)
        elif kind < OWN_SURROUNDINGS + PUT_ELSEWHERE:
            picture, boxes = self.elsewhere(rng, size)
        else:
            picture, boxes = self.ground(rng, size), np.zeros((0, 4), np.float32)
            if rng.random() < 0.4:
                self.distract(rng, picture)
        found, ignored = clip(np.asarray(boxes, np.float32).reshape(-1, 4), size)
        return photometric(rng, picture), found, ignored
