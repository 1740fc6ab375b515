import "../../ffi/preload.ts";
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { Packet } from "../../engine/kernel.ts";
import { ControlWriter, FDS_LIMIT } from "../../ffi/control_message.ts";
import { closeDescriptor, closesOnExec, duplicate, memfd } from "../../ffi/descriptors.ts";
import { createEventFd, readEventFd, signalEventFd } from "../../ffi/event_fd.ts";
import { identifyDescriptor } from "../../ffi/file_identity.ts";
import { libc } from "../../ffi/libc.ts";
import { MessageBuffer } from "../../ffi/message_buffer.ts";
import {
  acceptFrom,
  connectTo,
  listenOn,
  PACKET_LIMIT,
  peerCredentials,
  receivePacket,
  sendPacket,
  shutDown,
  socketPair,
} from "../../ffi/seqpacket.ts";
import { untilTold } from "../support/until_end.ts";

const text = (value: string) => new TextEncoder().encode(value);

function packet(received: ReturnType<typeof receivePacket>): Packet {
  if (typeof received === "string") throw new Error(`no packet but "${received}"`);
  return received;
}

async function withPair(step: (here: Fd, there: Fd) => void | Promise<void>): Promise<void> {
  const pair = socketPair("test");
  try {
    await step(...pair);
  } finally {
    pair.filter((fd) => fd.open).forEach(closeDescriptor);
  }
}

function withFolder(step: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync({ prefix: "bargate" });
  try {
    step(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const ourselves = { pid: Deno.pid, uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 };

Deno.test("a packet keeps its bounds, and says who sent it", async () => {
  await withPair((here, there) => {
    equal(receivePacket(there), "empty");
    ok(sendPacket(here, text("one")));
    ok(sendPacket(here, text("second")));
    const [first, second] = [packet(receivePacket(there)), packet(receivePacket(there))];
    deepEqual([first.bytes, second.bytes], [text("one"), text("second")]);
    deepEqual([first.sender, second.sender], [ourselves, ourselves]);
    deepEqual([first.fds, first.flaw], [[], undefined]);
    equal(receivePacket(there), "empty");
  });
});

Deno.test("a packet of no bytes is not the end", async () => {
  await withPair(async (here, there) => {
    ok(sendPacket(here, new Uint8Array()));
    deepEqual(packet(receivePacket(there)).bytes, new Uint8Array());
    closeDescriptor(here);
    equal(await untilTold(() => receivePacket(there)), "end");
    equal(receivePacket(there), "end");
  });
});

Deno.test("descriptors cross as the same open file, close-on-exec", async () => {
  await withPair((here, there) => {
    const sent = createEventFd("sent");
    ok(sendPacket(here, text("{}"), [sent]));
    const [received, ...more] = packet(receivePacket(there)).fds;
    ok(received !== undefined && more.length === 0);
    ok(closesOnExec(received));
    signalEventFd(received, 5n);
    equal(readEventFd(sent), 5n);
    [sent, received].forEach(closeDescriptor);
  });
});

Deno.test("253 descriptors and 64 KiB cross in one packet, in order", async () => {
  await withPair((here, there) => {
    const [first, second] = [memfd("first", 1n), memfd("second", 2n)];
    const fds = Array.from({ length: FDS_LIMIT }, (_, index) => index % 2 === 0 ? first : second);
    const bytes = crypto.getRandomValues(new Uint8Array(PACKET_LIMIT));
    ok(sendPacket(here, bytes, fds));
    const received = packet(receivePacket(there));
    deepEqual(received.bytes, bytes);
    equal(received.flaw, undefined);
    const sizes = received.fds.map((fd) => identifyDescriptor(fd).size);
    deepEqual(sizes, fds.map((_, index) => index % 2 === 0 ? 1n : 2n));
    [first, second, ...received.fds].forEach(closeDescriptor);
  });
});

Deno.test("more than that is refused before anything is sent", async () => {
  await withPair((here, there) => {
    const tooMany = Array.from({ length: FDS_LIMIT + 1 }, () => here);
    throws(() => sendPacket(here, text("x"), tooMany), { errnoName: "EINVAL" });
    const tooLong = new Uint8Array(PACKET_LIMIT + 1);
    throws(() => sendPacket(here, tooLong), { errnoName: "EMSGSIZE" });
    equal(receivePacket(there), "empty");
  });
});

Deno.test("descriptors of a packet that does not fit are the receiver's to close", async () => {
  await withPair(async (here, there) => {
    const [reader, writer] = socketPair("sent along");
    sendOversized(here, writer);
    closeDescriptor(writer);
    const received = packet(receivePacket(there));
    deepEqual([received.flaw, received.fds.length], ["too-long", 1]);
    equal(received.bytes.length, PACKET_LIMIT);
    equal(receivePacket(reader), "empty");
    received.fds.forEach(closeDescriptor);
    equal(await untilTold(() => receivePacket(reader)), "end");
    closeDescriptor(reader);
  });
});

/** What a peer that keeps to no limit may send. */
function sendOversized(socket: Fd, fd: Fd): void {
  const message = new MessageBuffer(PACKET_LIMIT + 1);
  const control = new ControlWriter(message.control).rights([fd.number]);
  message.fill(new Uint8Array(PACKET_LIMIT + 1), control);
  equal(libc().sendmsg(socket.number, message.header, 0), PACKET_LIMIT + 1);
}

Deno.test("what was shut down can be read to its end, by both, and is sent to no more", async () => {
  await withPair((here, there) => {
    ok(sendPacket(here, text("told")));
    ok(sendPacket(there, text("unread")));
    shutDown(here);
    equal(sendPacket(there, text("late")), false);
    equal(sendPacket(here, text("late")), false);
    for (const [end, waits] of [[here, "unread"], [there, "told"]] as const) {
      deepEqual(packet(receivePacket(end)).bytes, text(waits));
      equal(receivePacket(end), "end");
    }
    shutDown(here);
    closeDescriptor(there);
    shutDown(here);
  });
});

Deno.test("a peer that has gone is told by false, not by a signal", async () => {
  await withPair(async (here, there) => {
    closeDescriptor(there);
    equal(await untilTold(() => receivePacket(here)), "end");
    equal(sendPacket(here, text("x")), false);
    equal(sendPacket(here, text("x")), false);
  });
});

Deno.test("a socket closed with packets unread lets its peer read the end before the last packet", () => {
  // Not where another test starts a program at this very moment, which has a copy until it runs.
  const tries = Array.from({ length: 20 }, () => {
    const [here, there] = socketPair("test");
    sendPacket(there, text("unread"));
    sendPacket(here, text("last"));
    closeDescriptor(here);
    const told = [receivePacket(there), receivePacket(there), receivePacket(there)];
    closeDescriptor(there);
    return told.map((one) => typeof one === "string" ? one : new TextDecoder().decode(one.bytes));
  });
  ok(tries.some((told) => told.join() === "end,last,end"), JSON.stringify(tries));
});

Deno.test("a peer that does not read is told by false", async () => {
  await withPair((here) => {
    let sent = 0;
    while (sendPacket(here, new Uint8Array(PACKET_LIMIT))) sent++;
    ok(sent > 0);
  });
});

Deno.test("accept, connect and credentials", () => {
  withFolder((folder) => {
    const listener = listenOn(`${folder}/s`);
    equal(acceptFrom(listener), undefined);
    const client = connectTo(`${folder}/s`);
    ok(sendPacket(client, text("early")));
    const server = acceptFrom(listener);
    ok(server !== undefined);
    deepEqual(peerCredentials(server), ourselves);
    deepEqual(peerCredentials(client), ourselves);
    deepEqual(packet(receivePacket(server)).sender, ourselves);
    ok(sendPacket(server, text("back")));
    deepEqual(packet(receivePacket(client)).sender, ourselves);
    for (const fd of [listener, client, server]) ok(closesOnExec(fd));
    [listener, client, server].forEach(closeDescriptor);
  });
});

Deno.test("a socket that nobody listens on any more is replaced", () => {
  withFolder((folder) => {
    closeDescriptor(listenOn(`${folder}/s`));
    throws(() => connectTo(`${folder}/s`), { call: "connect", errnoName: "ECONNREFUSED" });
    const again = listenOn(`${folder}/s`);
    const client = connectTo(`${folder}/s`);
    [again, client].forEach(closeDescriptor);
  });
});

Deno.test("a socket that somebody listens on, and a file that is none, stay", () => {
  withFolder((folder) => {
    const listener = listenOn(`${folder}/s`);
    throws(() => listenOn(`${folder}/s`), { call: "bind", errnoName: "EADDRINUSE" });
    const client = connectTo(`${folder}/s`);
    Deno.writeTextFileSync(`${folder}/f`, "kept");
    throws(() => listenOn(`${folder}/f`), { call: "bind", errnoName: "EADDRINUSE" });
    equal(Deno.readTextFileSync(`${folder}/f`), "kept");
    [listener, client].forEach(closeDescriptor);
  });
});

Deno.test("a path that is too long or absent is the kernel's error", () => {
  withFolder((folder) => {
    throws(() => listenOn(`${folder}/${"x".repeat(108)}`), { errnoName: "ENAMETOOLONG" });
    throws(() => connectTo(`${folder}/absent`), {
      errnoName: "ENOENT",
      subject: `${folder}/absent`,
    });
    throws(() => connectTo(`${folder}/a\0b`), TypeError);
  });
});

Deno.test("a duplicate is another descriptor of the same file, above the number asked for", () => {
  const fd = memfd("one", 3n);
  const second = duplicate(fd, 500);
  ok(second.number >= 500 && closesOnExec(second));
  deepEqual(identifyDescriptor(second), identifyDescriptor(fd));
  [fd, second].forEach(closeDescriptor);
  equal(libc().close(-1), -9);
});
