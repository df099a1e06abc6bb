"""Serves a picture as an RTSP stream with GStreamer, on loopback, at a port or a free one.

Prints the port.

Run by the system's Python, which has GStreamer's bindings: python3-gi,
gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-good on Debian.
"""

from __future__ import annotations

import sys

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[2])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( multifilesrc location={sys.argv[1]} loop=true caps=image/jpeg,framerate=10/1 ! jpegdec "
    "! videoconvert ! videoscale ! video/x-raw,format=I420,width=320,height=240 ! jpegenc "
    "! rtpjpegpay name=pay0 pt=26 )"
)
factory.set_shared(True)
server.get_mount_points().add_factory("/faces", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
