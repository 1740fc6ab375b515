import assert from "node:assert/strict";
import fc from "fast-check";
import { ImporterChannel, PacketError, parseImporterPacket } from "../../engine/channel.ts";
import {
  type ControlReply,
  type ControlRequest,
  ControlServer,
  encodeControlReply,
  encodeControlRequest,
  parseControlReply,
  parseControlRequest,
} from "../../engine/control.ts";
import type { Fd } from "../../engine/fd.ts";
import { DomainError } from "../../engine/reset_outcome.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { settle } from "./support.ts";
import { runs } from "../support/runs.ts";

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("parseImporterPacket takes the protocol's packets", () => {
  const packets = [
    [`{"type":"hello","v":1}`, { type: "hello", v: 1 }],
    [`{"type":"list"}`, { type: "list" }],
    [`{"type":"release","grant":"g"}`, { type: "release", grant: "g" }],
    [`{"type":"ack","grant":"g"}`, { type: "ack", grant: "g" }],
    [`{"type":"request","export":"e","ioas":3}`, { type: "request", export: "e", ioas: 3 }],
    [
      `{"type":"request","export":"e","ioas":3,"iova":"0xffffffffffffffff"}`,
      { type: "request", export: "e", ioas: 3, iova: 0xffff_ffff_ffff_ffffn },
    ],
  ] as const;
  for (const [text, packet] of packets) assert.deepEqual(parseImporterPacket(bytes(text)), packet);
});

Deno.test("parseImporterPacket says what is wrong with the others", () => {
  const wrong = [
    ["", /JSON/],
    ["[]", /object/],
    ["null", /object/],
    [`{"type":"nonsense"}`, /"type" must be one of/],
    [`{"type":"hello","v":2}`, /"v" must be 1/],
    [`{"type":"release"}`, /"grant" must be a text/],
    [`{"type":"release","grant":"${"g".repeat(256)}"}`, /"grant" must be a text/],
    [`{"type":"request","export":"e","ioas":-1}`, /"ioas" must be/],
    [`{"type":"request","export":"e","ioas":4294967296}`, /"ioas" must be/],
    [`{"type":"request","export":"e","ioas":1,"iova":"0x10000000000000000"}`, /"iova" must be/],
    [`{"type":"request","export":"e","ioas":1,"iova":4096}`, /"iova" must be/],
  ] as const;
  for (const [text, message] of wrong) {
    assert.throws(
      () => parseImporterPacket(bytes(text)),
      (error: Error) => error instanceof PacketError && message.test(error.message),
      text,
    );
  }
  assert.throws(() => parseImporterPacket(new Uint8Array([0xff, 0xfe])), PacketError);
});

Deno.test("no bytes from a peer do anything but parse or throw PacketError", () => {
  const parsers = [parseImporterPacket, parseControlRequest, parseControlReply];
  const input = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(bytes));
  fc.assert(
    fc.property(input, fc.constantFrom(...parsers), (packet, parse) => {
      try {
        parse(packet);
      } catch (error) {
        assert.ok(error instanceof PacketError);
      }
    }),
    { numRuns: runs(2000) },
  );
});

Deno.test("control packets are read as they were written", () => {
  const device = "0000:01:00.0";
  const requests: readonly ControlRequest[] = [
    { type: "reset", device, method: "decode", domain: false },
    { type: "reset", device, method: "bus", domain: true },
    { type: "reach", device, method: "function" },
    { type: "hit-by", functions: [device, "0000:01:00.1"] },
    { type: "make-way", functions: [device] },
  ];
  for (const request of requests) {
    assert.deepEqual(parseControlRequest(encodeControlRequest(request)), request);
  }
  const hits = [{ export: "p/e", importer: "p/i", device, through: "0000:00:01.0" }];
  const grants = [{ export: "p/e", importer: "p/i", became: "failed" }] as const;
  const replies: readonly ControlReply[] = [
    { type: "done", ended: 1, failed: 3, restored: 2, devices: [{ device, grants }] },
    { type: "reach", functions: [{ address: device, through: "0000:00:01.0" }], hits },
    { type: "hits", hits },
    { type: "denied", hits },
    { type: "absent" },
    { type: "refused", message: "because" },
  ];
  for (const reply of replies) {
    assert.deepEqual(parseControlReply(encodeControlReply(reply)), reply);
  }
  assert.throws(
    () => parseControlRequest(bytes(`{"type":"reset","device":"d","method":"x"}`)),
    PacketError,
  );
  for (const text of [`{"type":"hit-by"}`, `{"type":"make-way","functions":[["0000:01:00.0"]]}`]) {
    assert.throws(() => parseControlRequest(bytes(text)), PacketError);
  }
  assert.throws(() => parseControlReply(bytes(`{"type":"done"}`)), PacketError);
  assert.throws(() => parseControlReply(bytes(`{"type":"denied","hits":[null]}`)), PacketError);
});

Deno.test("a request without a domain is one that must hit no other device", () => {
  const old = bytes(`{"type":"reset","device":"0000:01:00.0","method":"function"}`);
  const request = parseControlRequest(old);
  assert.ok(request.type === "reset" && !request.domain);
});

Deno.test("what was done is told without its lists where they do not fit a packet", () => {
  const grants = Array.from({ length: 2000 }, (_, index) => ({
    export: `policy/export-${index}`,
    importer: "policy/importer",
    became: "ended" as const,
  }));
  const devices = [{ device: "0000:01:00.0", grants }];
  const done = { type: "done", ended: 2000, failed: 0, restored: 0, devices } as const;
  assert.deepEqual(parseControlReply(encodeControlReply(done)), { ...done, devices: [] });
  const hits = grants.map((grant) => ({ ...grant, device: "0000:01:00.1", through: "x" }));
  assert.equal(parseControlReply(encodeControlReply({ type: "hits", hits })).type, "refused");
});

Deno.test("a request that does not fit a packet is not made into another one", () => {
  const functions = Array.from({ length: 8000 }, () => "0000:01:00.0");
  assert.throws(
    () => encodeControlRequest({ type: "hit-by", functions }),
    (error: Error) =>
      error instanceof PacketError && /does not fit 65536 bytes/.test(error.message),
  );
});

/** Runs one request against a server. */
async function ask(
  kernel: SimKernel,
  request: Uint8Array,
  handler: () => Promise<ControlReply>,
): Promise<ControlReply> {
  const server = new ControlServer(kernel, kernel.listen("/run/s"), handler);
  const socket = kernel.connect("/run/s");
  await settle();
  kernel.send(socket, request);
  await settle();
  const packet = kernel.receive(socket);
  kernel.close(socket);
  await settle();
  server.close();
  assert.deepEqual(kernel.table.open(), []);
  if (typeof packet === "string") throw new RangeError(packet);
  return parseControlReply(packet.bytes);
}

const RESET = encodeControlRequest({
  type: "reset",
  device: "d",
  method: "function",
  domain: false,
});

Deno.test("ControlServer answers its operator, and turns failures into words", async () => {
  const done = { type: "done", ended: 1, failed: 0, restored: 0, devices: [] } as const;
  assert.deepEqual(
    await ask(new SimKernel({ functions: [] }), RESET, () => Promise.resolve(done)),
    done,
  );
  const failed = await ask(
    new SimKernel({ functions: [] }),
    RESET,
    () => Promise.reject(new Error("no reset")),
  );
  assert.deepEqual(failed, { type: "refused", message: "no reset" });
  const hits = [{ export: "p/e", importer: "p/i", device: "d", through: "t" }];
  const denied = () => Promise.reject(new DomainError("d", hits));
  assert.deepEqual(await ask(new SimKernel({ functions: [] }), RESET, denied), {
    type: "denied",
    hits,
  });
  const nonsense = await ask(new SimKernel({ functions: [] }), bytes("{}"), () => assert.fail());
  assert.equal(nonsense.type, "refused");
});

Deno.test("ControlServer takes no request that means the other kind of devices", async () => {
  const request = { type: "reset", device: "d", method: "function", domain: false } as const;
  const simulated = new (class extends SimKernel {
    readonly simulated = true;
  })({ functions: [] });
  const never = () => assert.fail("was asked");
  const forReal = await ask(
    new SimKernel({ functions: [] }),
    encodeControlRequest(request, true),
    never,
  );
  assert.deepEqual(forReal, { type: "refused", message: "the devices here are not simulated" });
  const forSimulated = await ask(simulated, encodeControlRequest(request), never);
  assert.ok(forSimulated.type === "refused" && /here are simulated/.test(forSimulated.message));
});

Deno.test("ControlServer does not listen to other accounts", async () => {
  const kernel = new SimKernel({ functions: [], uid: 1000 });
  kernel.peerCredentials = () => ({ pid: 7, uid: 1001, gid: 7 });
  const server = new ControlServer(kernel, kernel.listen("/run/s"), () => assert.fail("was asked"));
  const socket = kernel.connect("/run/s");
  await settle();
  kernel.send(socket, RESET);
  await settle();
  const packet = kernel.receive(socket);
  assert.ok(typeof packet !== "string");
  assert.match(new TextDecoder().decode(packet.bytes), /account 1001 is not the operator/);
  kernel.close(socket);
  server.close();
});

Deno.test("ControlServer waits for no file that an operator sends, taken or not", async () => {
  const kernel = new SimKernel({ functions: [] });
  const goOn = kernel.stall("close");
  const server = new ControlServer(
    kernel,
    kernel.listen("/run/s"),
    () => Promise.resolve({ type: "absent" }),
  );
  const socket = kernel.connect("/run/s");
  const sent = kernel.eventFd("sent");
  const close = kernel.close.bind(kernel);
  kernel.close = (fd) => {
    assert.ok(!fd.what.startsWith("received on"), "closed on the event loop");
    close(fd);
  };
  await settle();
  kernel.send(socket, RESET, [sent]);
  await settle();
  const packet = kernel.receive(socket);
  assert.ok(typeof packet !== "string");
  assert.equal(parseControlReply(packet.bytes).type, "absent");
  for (let each = 0; each < 100; each++) kernel.send(socket, RESET, [sent]);
  server.close();
  assert.equal(kernel.receive(socket), "end");
  [sent, socket].forEach((fd) => kernel.close(fd));
  goOn();
  for (let round = 0; round < 5; round++) await settle();
  assert.deepEqual(kernel.table.open(), []);
});

Deno.test("what was shut down in the simulation ends for both, as on Linux", () => {
  const kernel = new SimKernel({ functions: [] });
  const [here, there] = kernel.socketPair("channel");
  kernel.send(here, bytes("told"));
  kernel.send(there, bytes("unread"));
  kernel.shutdown(here);
  assert.ok(!kernel.send(there, bytes("late")) && !kernel.send(here, bytes("late")));
  for (const end of [here, there]) {
    assert.ok(typeof kernel.receive(end) !== "string");
    assert.equal(kernel.receive(end), "end");
  }
  [here, there].forEach((fd) => kernel.close(fd));
});

/** A channel whose unwanted descriptors are kept. */
function channelOf(kernel: SimKernel) {
  const [ours, theirs] = kernel.socketPair("channel");
  const discarded: Fd[] = [];
  const channel = new ImporterChannel(kernel, ours, {
    sender: () => undefined,
    discard: (fd) => discarded.push(fd),
    onError: assert.ifError,
  });
  return { channel, ours, theirs, discarded };
}

Deno.test("ImporterChannel leaves nothing unread when it closes, and keeps no descriptor", () => {
  const kernel = new SimKernel({ functions: [] });
  const { channel, ours, theirs, discarded } = channelOf(kernel);
  const sent = kernel.eventFd("sent");
  kernel.send(theirs, bytes("one"), [sent]);
  kernel.send(theirs, bytes("two"));
  channel.send({ type: "refused", message: "no" });
  channel.close();
  channel.close();
  const packet = kernel.receive(theirs);
  assert.ok(typeof packet !== "string");
  assert.equal(kernel.receive(theirs), "end");
  assert.equal(discarded.at(-1), ours, "closed where its close can delay nobody");
  [sent, theirs, ...discarded].forEach((fd) => kernel.close(fd));
  assert.deepEqual(kernel.table.open(), []);
});

Deno.test("an importer that goes on sending does not keep its channel open", () => {
  const kernel = new SimKernel({ functions: [] });
  const { channel, ours, theirs, discarded } = channelOf(kernel);
  const { receive } = kernel;
  let taken = 0;
  kernel.receive = (socket) => {
    if (socket === ours) kernel.send(theirs, bytes(`${++taken}`));
    return receive.call(kernel, socket);
  };
  kernel.send(theirs, bytes("first"));
  channel.close();
  assert.equal(taken, 2, "the first, and the end");
  assert.deepEqual(discarded, [ours]);
  channel.send({ type: "refused", message: "late" });
  [theirs, ours].forEach((fd) => kernel.close(fd));
});
