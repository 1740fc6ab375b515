/**
 * The importer of `connected_peer.test.ts`, a process of its own: `peer_process.ts SOCKET CONTROL`.
 * It listens on SOCKET, gives its connection away on CONTROL, and says there what it is told to.
 *
 * @module
 */
import type { Fd } from "../../engine/fd.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";

const kernel = new LinuxKernel();
const [path = "", controlPath = ""] = Deno.args;

/** Waits until a descriptor has something. */
async function ready(fd: Fd): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = kernel.watch(fd, resolve);
  await promise;
  watch.stop();
}

async function accept(listener: Fd): Promise<Fd> {
  await ready(listener);
  return kernel.accept(listener) ?? await accept(listener);
}

const listener = kernel.listen(path);
const control = kernel.connect(controlPath);
kernel.send(control, new TextEncoder().encode("listening"));
const channel = await accept(listener);
kernel.send(control, new TextEncoder().encode("accepted"), [channel]);
for (;;) {
  await ready(control);
  const order = kernel.receive(control);
  if (order === "end") break;
  if (order !== "empty") kernel.send(channel, order.bytes);
}
Deno.exit(0);
