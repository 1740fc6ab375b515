import "../../ffi/preload.ts";
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { KernelError } from "../../engine/kernel_error.ts";
import { closeDescriptor, closesOnExec } from "../../ffi/descriptors.ts";
import { openGate, parseGateEvents } from "../../ffi/fanotify_gate.ts";
import {
  addFileWatch,
  openInotify,
  parseFileEvents,
  readFileEvents,
  removeFileWatch,
} from "../../ffi/inotify.ts";
import { STRUCTS } from "../../ffi/layouts.ts";
import { openRevokeTrace, parseTraceLine } from "../../ffi/revoke_trace.ts";
import { encode } from "../../ffi/struct.ts";
import { openUevents, parseUevent, receiveUevent } from "../../ffi/uevent.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

Deno.test("a uevent is its action, its path and its values", () => {
  const text = "remove@/devices/pci0000:00/0000:00:10.0/vfio-dev/vfio0\0ACTION=remove\0" +
    "SUBSYSTEM=vfio-dev\0DEVNAME=vfio/devices/vfio0\0ODD=a=b\0SEQNUM=812\0";
  const event = parseUevent(bytesOf(text));
  deepEqual([event?.action, event?.path], [
    "remove",
    "/devices/pci0000:00/0000:00:10.0/vfio-dev/vfio0",
  ]);
  deepEqual([...event?.values ?? []].slice(1), [
    ["SUBSYSTEM", "vfio-dev"],
    ["DEVNAME", "vfio/devices/vfio0"],
    ["ODD", "a=b"],
    ["SEQNUM", "812"],
  ]);
});

Deno.test("what is no uevent is told from one", () => {
  for (const text of ["", "libudev\0\xfe\xed", "add", "add@relative", "ADD@/x", "@/x"]) {
    equal(parseUevent(bytesOf(text)), undefined, text);
  }
  deepEqual(parseUevent(bytesOf("add@/a\nb\0=x\0novalue\0"))?.values, new Map());
});

Deno.test("a socket of uevents is non-blocking and close-on-exec", () => {
  const socket = openUevents();
  ok(closesOnExec(socket));
  for (let taken = 0; receiveUevent(socket) !== "empty"; taken++) ok(taken < 10_000);
  closeDescriptor(socket);
});

function withFile(step: (path: string) => void): void {
  const path = Deno.makeTempFileSync({ prefix: "bargate" });
  try {
    step(path);
  } finally {
    Deno.removeSync(path);
  }
}

Deno.test("inotify tells what happens to a file, and only what was asked for", () => {
  withFile((path) => {
    const inotify = openInotify("test");
    ok(closesOnExec(inotify));
    deepEqual(readFileEvents(inotify), []);
    const watch = addFileWatch(inotify, path, ["open", "modify", "close-write"]);
    Deno.writeTextFileSync(path, "x", { create: false });
    const kinds = ["open", "modify", "close-write"] as const;
    const told = readFileEvents(inotify).filter((event, at, all) =>
      JSON.stringify(event) !== JSON.stringify(all[at - 1])
    );
    deepEqual(told, kinds.map((kind) => ({ watch, kind })));
    equal(addFileWatch(inotify, path, ["close-nowrite"]), watch, "one file has one watch");
    Deno.readTextFileSync(path);
    deepEqual(readFileEvents(inotify), [{ watch, kind: "close-nowrite" }]);
    removeFileWatch(inotify, watch);
    deepEqual(readFileEvents(inotify), [{ watch, kind: "ignored" }]);
    throws(() => removeFileWatch(inotify, watch), { errnoName: "EINVAL" });
    throws(() => addFileWatch(inotify, `${path}.absent`, ["open"]), {
      call: "inotify_add_watch",
      errnoName: "ENOENT",
      subject: `${path}.absent`,
    });
    closeDescriptor(inotify);
  });
});

/** `struct inotify_event` with a name behind it. */
function inotifyEvent(wd: number, mask: number, name = ""): number[] {
  const len = name === "" ? 0 : 16;
  const view = encode(STRUCTS.inotify_event, { wd, mask, len });
  return [...new Uint8Array(view.buffer), ...bytesOf(name.padEnd(len, "\0"))];
}

Deno.test("an overrun of inotify is in its place among the events", () => {
  const bytes = [
    ...inotifyEvent(1, 0x20, "name"),
    ...inotifyEvent(-1, 0x4000),
    ...inotifyEvent(2, 0x2000 | 0x8000),
    ...inotifyEvent(3, 0x400),
  ];
  deepEqual(parseFileEvents(Uint8Array.from(bytes)), [
    { watch: 1, kind: "open" },
    "overrun",
    { watch: 2, kind: "ignored" },
    { watch: 3, kind: "delete" },
  ]);
});

function gateEvent(vers: number, event_len: number): Uint8Array<ArrayBuffer> {
  const values = { event_len, vers, metadata_len: 24, mask: 0x10000n, fd: 7, pid: 42 };
  return new Uint8Array(encode(STRUCTS.fanotify_event_metadata, values).buffer);
}

Deno.test("events of a gate are read by their own lengths, and another version not at all", () => {
  const one = parseGateEvents(gateEvent(3, 24));
  deepEqual(one?.map(({ mask, fd, pid }) => [mask, fd, pid]), [[0x10000n, 7, 42]]);
  equal(parseGateEvents(gateEvent(4, 24)), undefined);
  equal(parseGateEvents(gateEvent(3, 0)), undefined);
  equal(parseGateEvents(gateEvent(3, 25)), undefined);
  equal(parseGateEvents(gateEvent(3, 24).slice(0, 20)), undefined);
});

Deno.test("a gate before no file is refused by name", () => {
  throws(
    () => openGate("/nonexistent/reset"),
    { name: "KernelError", subject: "/nonexistent/reset" },
  );
});

const LINE = `[001] d..1.  1234.567890: revoke_1_a: (vfio_pci_dma_buf_move+0x4/0x1f0)`;

Deno.test("a line of the trace tells device, direction and cause", () => {
  const line = `           <...>-93      ${LINE} device="0000:01:00.0" revoked=1 task="deno"`;
  const expected = { device: "0000:01:00.0", revoked: true, pid: 93, task: "deno" };
  deepEqual(parseTraceLine(line, "revoke_1_a"), expected);
  equal(parseTraceLine(line, "revoke_2_b"), undefined);
  const unknown = `  deno-93  ${LINE} device=(fault) revoked=0 task="deno"`;
  deepEqual(parseTraceLine(unknown, "revoke_1_a"), { revoked: false, pid: 93, task: "deno" });
  equal(parseTraceLine("CPU:1 [LOST 17 EVENTS]", "revoke_1_a"), "overrun");
  equal(parseTraceLine("# tracer: nop", "revoke_1_a"), undefined);
});

Deno.test("a task's name in the trace forges neither pid nor device", () => {
  const names = ["x-1 [000] 1: y", 'a" task="b', '"', "", ' revoked=0 tas"', "<...>"];
  for (const name of names) {
    const line = `  ${name}-93  ${LINE} device="0000:01:00.0" revoked=1 task="${name}"`;
    const record = parseTraceLine(line, "revoke_1_a");
    ok(record !== undefined && record !== "overrun");
    deepEqual([record.pid, record.device, record.revoked], [93, "0000:01:00.0", true]);
    equal(record.task, name);
  }
});

Deno.test("a task's name that breaks the line of the trace hides nothing", () => {
  const line = `  one\ntwo-93  ${LINE} device="0000:01:00.0" revoked=1 task="one\ntwo"`;
  const expected = { device: "0000:01:00.0", revoked: true, pid: 93, task: "one" };
  const records = line.split("\n").map((part) => parseTraceLine(part, "revoke_1_a"));
  deepEqual(records, [undefined, expected, undefined]);
});

Deno.test("where the routine cannot be traced that is the kernel's refusal", () => {
  try {
    openRevokeTrace().close();
  } catch (error) {
    ok(error instanceof KernelError, String(error));
  }
});
