import "../../ffi/preload.ts";
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { Watch } from "../../engine/kernel.ts";
import { closeDescriptor, duplicate, memfd } from "../../ffi/descriptors.ts";
import { EventLoop } from "../../ffi/epoll.ts";
import { createEventFd, readEventFd, signalEventFd } from "../../ffi/event_fd.ts";
import { receivePacket, socketPair } from "../../ffi/seqpacket.ts";
import { untilTold } from "../support/until_end.ts";

/** Resolves at the first call back. */
function ready(loop: EventLoop, fd: Fd): { first: Promise<void>; watch: Watch } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { first: promise, watch: loop.watch(fd, resolve) };
}

Deno.test("an eventfd counts, is taken whole, and refuses to overflow", () => {
  const fd = createEventFd("counter");
  equal(readEventFd(fd), 0n);
  signalEventFd(fd, 0xffff_ffff_ffff_fffen - 1n);
  signalEventFd(fd);
  throws(() => signalEventFd(fd), { call: "write", errnoName: "EAGAIN", subject: "counter" });
  equal(readEventFd(fd), 0xffff_ffff_ffff_fffen);
  equal(readEventFd(fd), 0n);
  closeDescriptor(fd);
});

Deno.test("a watch is called when the descriptor becomes readable, again and again", async () => {
  const loop = new EventLoop();
  const fd = createEventFd("watched");
  const seen: bigint[] = [];
  let next = Promise.withResolvers<void>();
  const watch = loop.watch(fd, () => {
    seen.push(readEventFd(fd));
    next.resolve();
  });
  for (const times of [1n, 2n, 3n]) {
    next = Promise.withResolvers();
    signalEventFd(fd, times);
    await next.promise;
  }
  watch.stop();
  await loop.idle();
  deepEqual(seen, [1n, 2n, 3n]);
  closeDescriptor(fd);
});

Deno.test("a watch is called when the peer hangs up", async () => {
  const loop = new EventLoop();
  const [here, there] = socketPair("hang-up");
  const { first, watch } = ready(loop, here);
  closeDescriptor(there);
  await first;
  watch.stop();
  equal(await untilTold(() => receivePacket(here)), "end");
  closeDescriptor(here);
  await loop.idle();
});

Deno.test("a stopped watch is not called, and can be stopped twice", async () => {
  const loop = new EventLoop();
  const [quiet, loud] = [createEventFd("quiet"), createEventFd("loud")];
  const stopped = loop.watch(quiet, () => {
    throw new Error("called after stop");
  });
  stopped.stop();
  stopped.stop();
  signalEventFd(quiet);
  signalEventFd(loud);
  const { first, watch } = ready(loop, loud);
  await first;
  watch.stop();
  await loop.idle();
  [quiet, loud].forEach(closeDescriptor);
});

Deno.test("a watch may stop others of the same batch, and start new ones", async () => {
  const loop = new EventLoop();
  const fds = Array.from({ length: 3 }, (_, index) => createEventFd(`eventfd ${index}`));
  const late = createEventFd("late");
  const calls: string[] = [];
  const done = Promise.withResolvers<void>();
  const watches: Watch[] = fds.map((fd) =>
    loop.watch(fd, () => {
      calls.push("one of three");
      watches.forEach((watch) => watch.stop());
      watches.push(loop.watch(late, () => done.resolve()));
    })
  );
  for (const fd of [...fds, late]) signalEventFd(fd);
  await done.promise;
  watches.forEach((watch) => watch.stop());
  await loop.idle();
  deepEqual(calls, ["one of three"]);
  [...fds, late].forEach(closeDescriptor);
});

Deno.test("more descriptors than one batch holds are all reported", async () => {
  const loop = new EventLoop();
  const fds = Array.from({ length: 200 }, (_, index) => createEventFd(`eventfd ${index}`));
  await Promise.all(fds.map((fd) => {
    signalEventFd(fd);
    const { first, watch } = ready(loop, fd);
    return first.then(() => watch.stop());
  }));
  await loop.idle();
  fds.forEach(closeDescriptor);
});

Deno.test("a descriptor forgotten before its close is not reported by a copy of it", async () => {
  const loop = new EventLoop();
  const [fd, other] = [createEventFd("forgotten"), createEventFd("other")];
  const copy = duplicate(fd);
  loop.watch(fd, () => {
    throw new Error("called after it was forgotten");
  });
  const { first, watch } = ready(loop, other);
  loop.forget(fd);
  loop.forget(fd);
  closeDescriptor(fd);
  signalEventFd(copy);
  signalEventFd(other);
  await first;
  watch.stop();
  await loop.idle();
  [copy, other].forEach(closeDescriptor);
});

Deno.test("stopping after the close is no error", async () => {
  const loop = new EventLoop();
  const fd = createEventFd("closed first");
  const watch = loop.watch(fd, () => undefined);
  closeDescriptor(fd);
  watch.stop();
  await loop.idle();
});

Deno.test("what cannot be watched is refused, and leaves the loop idle", async () => {
  const loop = new EventLoop();
  const file = memfd("plain", 1n);
  throws(() => loop.watch(file, () => undefined), {
    call: "epoll_ctl(EPOLL_CTL_ADD)",
    errnoName: "EPERM",
    subject: "plain",
  });
  await loop.idle();
  closeDescriptor(file);
});

Deno.test("a second watch of a descriptor is refused", async () => {
  const loop = new EventLoop();
  const fd = createEventFd("twice");
  const watch = loop.watch(fd, () => undefined);
  throws(() => loop.watch(fd, () => undefined), { errnoName: "EEXIST" });
  watch.stop();
  loop.watch(fd, () => undefined).stop();
  await loop.idle();
  closeDescriptor(fd);
});

Deno.test("what a watch throws is reported, and the loop goes on", async () => {
  const loop = new EventLoop();
  const [bad, good] = [createEventFd("bad"), createEventFd("good")];
  const reported = Promise.withResolvers<unknown>();
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    reported.resolve(event.error);
  };
  globalThis.addEventListener("error", onError);
  const failing = loop.watch(bad, () => {
    failing.stop();
    throw new RangeError("from a watch");
  });
  signalEventFd(bad);
  ok(await reported.promise instanceof RangeError);
  globalThis.removeEventListener("error", onError);
  signalEventFd(good);
  const { first, watch } = ready(loop, good);
  await first;
  watch.stop();
  await loop.idle();
  [bad, good].forEach(closeDescriptor);
});

Deno.test("idle is at once true where nothing was ever watched", async () => {
  await new EventLoop().idle();
});
