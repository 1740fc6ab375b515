"""A receiver of dma-bufs, with nothing but the standard library.

Waits for Bargate on a socket, takes what it is granted, and lets go when it is told to.
`bargate export POLICY --send SOCKET` connects to it.

    python3 receiver.py /run/receiver/bargate.sock

The protocol is docs/protocol.md: SOCK_SEQPACKET, one JSON object a packet, descriptors beside it
(SCM_RIGHTS). Python 3.9 or later.
"""

import json
import os
import socket
import sys

PACKET_BYTES = 64 * 1024
MAX_FDS = 16


def wait_for_bargate(path):
    """Bargate connects to us, and takes us for who called listen(): this very process must."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        if os.path.exists(path):
            os.unlink(path)
        # Nobody but root and we ourselves may connect.
        os.umask(0o177)
        listener.bind(path)
        listener.listen(1)
        print("listening", flush=True)
        channel, _ = listener.accept()
        return channel


class Receiver:
    """What we have been granted, by the id that Bargate uses for it in all later packets."""

    def __init__(self, channel):
        self.channel = channel
        self.grants = {}

    def say(self, **packet):
        try:
            self.channel.send(json.dumps(packet).encode())
        except BrokenPipeError:
            pass  # That Bargate has gone shows when we read.

    def run(self):
        # We speak first: Bargate gives nothing to a process that has not said hello.
        self.say(type="hello", v=1)
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.channel, PACKET_BYTES, MAX_FDS)
            except ConnectionResetError:
                break
            if not data:
                break
            self.obey(json.loads(data), fds)
        # Bargate has gone, and with it everything that it granted.
        for grant in list(self.grants):
            self.let_go(grant)

    def obey(self, packet, fds):
        kind, grant = packet["type"], packet.get("grant")
        if kind == "granted" and fds:
            self.take(packet, fds.pop())
        else:
            # suspended: DMA faults until restored, and then old mappings may be dead (`after`).
            print(kind, packet.get("reason", packet.get("after", "")), flush=True)
        for fd in fds:
            os.close(fd)  # Nothing that this program knows of.
        if kind == "revoking":
            # We have its grace to let go; whoever says so early is not waited for.
            self.let_go(grant)
            self.say(type="release", grant=grant)
        elif kind == "revoked":
            # It is over: the descriptor cannot be imported any more, by anybody.
            self.let_go(grant)

    def take(self, packet, fd):
        self.grants[packet["grant"]] = fd
        # Here a program imports the buffer: IOMMU_IOAS_MAP_FILE, ibv_reg_dmabuf_mr, …
        size = os.lseek(fd, 0, os.SEEK_END)
        print(f"granted {packet['export']} {packet['size']}, {size} bytes here", flush=True)

    def let_go(self, grant):
        # A program that has mapped the buffer unmaps it here, before it closes it.
        fd = self.grants.pop(grant, None)
        if fd is not None:
            os.close(fd)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: receiver.py SOCKET")
    path = sys.argv[1]
    Receiver(wait_for_bargate(path)).run()
    print("end", flush=True)
    os.unlink(path)


if __name__ == "__main__":
    main()
