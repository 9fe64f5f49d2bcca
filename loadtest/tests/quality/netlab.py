#!/usr/bin/env python3
"""A bad link, without kernel support for one: two TUN devices, one of them inside a network namespace, and this
process carries packets from one to the other with delay, jitter, loss and a rate.

  netlab.py ID DELAY_MS JITTER_MS LOSS_PCT [RATE_KBIT [QUEUE_MS]]

ID is 0 to 63; all values hold for each direction. The server's side is 10.98.ID.1; a client run by
`ip netns exec quality-ID …` is 10.98.ID.2. Jitter is even and reorders. Prints "up" when it stands; SIGINT or SIGTERM
removes it all and prints what became of the packets. A line `RATE_KBIT [QUEUE_MS]` on its input changes the rate, 0: none.
Needs root."""
import fcntl, heapq, os, random, select, signal, struct, subprocess, sys, time

lab = int(sys.argv[1])
delay, jitter, loss = float(sys.argv[2]) / 1e3, float(sys.argv[3]) / 1e3, float(sys.argv[4]) / 100
rate = float(sys.argv[5]) * 1000 / 8 if len(sys.argv) > 5 and sys.argv[5] else 0
queue = float(sys.argv[6]) / 1e3 if len(sys.argv) > 6 else 0.2
space, here, there = f"quality-{lab}", f"qa{lab}", f"qb{lab}"

def run(command):
    subprocess.run(command, shell=True, check=True)

def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", name.encode(), 0x0001 | 0x1000))
    return device

def end(*_):
    print(counts, flush=True)
    subprocess.run(f"ip netns del {space}", shell=True)
    os._exit(0)

subprocess.run(f"ip netns del {space}", shell=True, stderr=subprocess.DEVNULL)
run(f"ip netns add {space}")
a, b = tun(here), tun(there)
inside = f"ip netns exec {space}"
run(f"ip addr add 10.98.{lab}.1/30 dev {here} && ip link set {here} up mtu 1500 txqueuelen 2000")
run(f"ip link set {there} netns {space} && {inside} ip addr add 10.98.{lab}.2/30 dev {there}")
run(f"{inside} ip link set {there} up mtu 1500 txqueuelen 2000 && {inside} ip link set lo up")
run(f"{inside} ip route add default via 10.98.{lab}.1")
counts = dict(carried=0, lost=0, overflowed=0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("up", flush=True)

sources = [a, b, sys.stdin]
waiting, number, free_at = [], 0, {a: 0.0, b: 0.0}
while True:
    now = time.monotonic()
    ready, _, _ = select.select(sources, [], [], max(0, waiting[0][0] - now) if waiting else None)
    now = time.monotonic()
    if sys.stdin in ready:
        ready.remove(sys.stdin)
        line = sys.stdin.readline().split()
        if line:
            rate = float(line[0]) * 1000 / 8
            queue = float(line[1]) / 1e3 if len(line) > 1 else queue
        else:
            sources.remove(sys.stdin)
    for device in ready:
        out = b if device == a else a
        for _ in range(64):
            try:
                packet = os.read(device, 2048)
            except BlockingIOError:
                break
            if random.random() < loss:
                counts["lost"] += 1
                continue
            leaves = now
            if rate:
                leaves = max(now, free_at[out])
                if leaves - now > queue:
                    counts["overflowed"] += 1
                    continue
                leaves += len(packet) / rate
                free_at[out] = leaves
            number += 1
            heapq.heappush(waiting, (leaves + delay + random.random() * jitter, number, out, packet))
    while waiting and waiting[0][0] <= now:
        _, _, out, packet = heapq.heappop(waiting)
        try:
            os.write(out, packet)
            counts["carried"] += 1
        except OSError:
            pass
