#!/usr/bin/env python3
"""A camera made of footage: serves video files over RTSP, for ever, with GStreamer's server.

    rtsp_server.py [--port N] [--user NAME --password WORD] [--once]
                   [--certificate PEM --key PEM] NAME=FILE...

Each FILE (MP4, H.264 or H.265) is at rtsp://127.0.0.1:PORT/NAME, in real time, over UDP or TCP.
Every client sees it from its beginning; time stamps go on over each repeat, as a camera's do.
NAME@SECONDS=FILE begins so far into the file.
A NAME that ends in `*` is one camera for all its clients (the `*` is not in its address): they join
where it is, and it is packed once for all of them.
`--once` ends the stream with the file. With a user the server asks for Digest credentials. With a
certificate it speaks TLS.
Prints `READY PORT` when it listens, and `PLAYS NAME TIME` when a client begins to be played a clip;
TIME (Unix seconds) is when the file's first picture is, or would have been, due.
"""
import argparse
import pathlib
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402

# The sink reads ahead by as much as this, so a client that is slow to start sees no jump.
READ_AHEAD_BYTES = 1 << 20
READY_POLL_MS = 10
READY_TRIES = 1000


class Clip:
    """A file's access units in memory: (bytes, time in ns, key frame)."""

    def __init__(self, path):
        self.codec = self.probe(path)
        pipeline = Gst.parse_launch(
            f'filesrc location="{path}" ! qtdemux ! {self.codec}parse config-interval=-1 '
            f"! video/x-{self.codec},stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
        )
        out = pipeline.get_by_name("out")
        pipeline.set_state(Gst.State.PLAYING)
        self.units = []
        while sample := out.emit("pull-sample"):
            buffer = sample.get_buffer()
            key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
            self.units.append((buffer.extract_dup(0, buffer.get_size()), buffer.pts, key))
            self.caps = sample.get_caps().to_string()
        pipeline.set_state(Gst.State.NULL)
        if len(self.units) < 2:
            raise SystemExit(f"{path}: no video in it")
        self.step = (self.units[-1][1] - self.units[0][1]) // (len(self.units) - 1)
        self.length = self.step * len(self.units)

    @staticmethod
    def probe(path):
        pipeline = Gst.parse_launch(f'filesrc location="{path}" ! qtdemux name=demux ! fakesink name=out num-buffers=1')
        pipeline.set_state(Gst.State.PAUSED)
        pipeline.get_state(10 * Gst.SECOND)
        caps = pipeline.get_by_name("out").get_static_pad("sink").get_current_caps()
        pipeline.set_state(Gst.State.NULL)
        name = caps.get_structure(0).get_name() if caps else "nothing"
        if name not in ("video/x-h264", "video/x-h265"):
            raise SystemExit(f"{path}: {name}, expected H.264 or H.265 in MP4")
        return name.removeprefix("video/x-")


class Feed:
    """One client's place in a clip."""

    def __init__(self, clip, once, begin, source):
        self.clip, self.once = clip, once
        self.next = self.first = int(begin * Gst.SECOND) // clip.step
        source.set_property("format", Gst.Format.TIME)
        source.set_property("max-bytes", READ_AHEAD_BYTES)
        source.set_property("caps", Gst.Caps.from_string(clip.caps))
        source.connect("need-data", self.push)

    def push(self, source, _length):
        lap, index = divmod(self.next, len(self.clip.units))
        if lap and self.once:
            source.emit("end-of-stream")
            return
        data, _, key = self.clip.units[index]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = buffer.dts = lap * self.clip.length + (index - self.first) * self.clip.step
        buffer.duration = self.clip.step
        if not key:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        self.next += 1
        source.emit("push-buffer", buffer)


def say_when_it_plays(media, state, name, begin):
    """GStreamer says that the media plays, now and then before its pipeline has clock and base time."""
    if state == Gst.State.PLAYING and not say(media, name, begin):
        tries = iter(range(READY_TRIES))
        GLib.timeout_add(READY_POLL_MS, lambda: next(tries, None) is not None and not say(media, name, begin))


def say(media, name, begin):
    # The media's element lies in a pipeline that has the clock, once it really plays.
    pipeline = media.get_element()
    while pipeline.get_parent():
        pipeline = pipeline.get_parent()
    clock, base = pipeline.get_clock(), pipeline.get_base_time()
    if clock is None or not base:
        return False
    running = clock.get_time() - base
    print("PLAYS", name, f"{time.time() - running / Gst.SECOND - begin:.3f}", flush=True)
    return True


def factory(name, clip, once, shared, begin):
    made = GstRtspServer.RTSPMediaFactory.new()
    made.set_shared(shared)
    made.set_launch(f"( appsrc name=clip ! {clip.codec}parse ! rtp{clip.codec}pay name=pay0 pt=96 config-interval=-1 )")

    def configure(_factory, media):
        # The feed lives as long as the media that asks it for data.
        media.feed = Feed(clip, once, begin, media.get_element().get_by_name("clip"))
        media.connect("new-state", say_when_it_plays, name, begin)

    made.connect("media-configure", configure)
    return made


def require_login(auth, factories, user, password):
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    for made in factories:
        allowed = GstRtspServer.RTSPPermissions()
        for what in ("access", "construct"):
            allowed.add_permission_for_role("viewer", f"media.factory.{what}", True)
        made.set_permissions(allowed)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--port", type=int, default=0, help="0: any free port")
    ap.add_argument("--user")
    ap.add_argument("--password")
    ap.add_argument("--certificate")
    ap.add_argument("--key")
    ap.add_argument("--once", action="store_true")
    ap.add_argument("clip", nargs="+", metavar="NAME=FILE")
    a = ap.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(str(a.port))
    factories, clips = [], {}
    for arg in a.clip:
        name, _, path = arg.partition("=")
        # Many cameras may show the same.
        path = pathlib.Path(path).resolve()
        if path not in clips:
            clips[path] = Clip(path)
        shared, name = name.endswith("*"), name.removesuffix("*")
        name, _, begin = name.partition("@")
        factories.append(factory(name, clips[path], a.once, shared, float(begin or 0)))
        server.get_mount_points().add_factory("/" + name, factories[-1])
    if a.user or a.certificate:
        auth = GstRtspServer.RTSPAuth()
        if a.certificate:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(a.certificate, a.key))
        if a.user:
            require_login(auth, factories, a.user, a.password)
        server.set_auth(auth)
    if not server.attach(None):
        raise SystemExit(f"cannot listen on port {a.port}")
    print("READY", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
