/** The guest's end of the port to the host. @module */
import { join } from "../path.ts";
import type { GuestMessage } from "../protocol/message.ts";

const PORTS = "/sys/class/virtio-ports";

/** Sends messages to the host, one JSON object a line. */
export class HostPort implements Disposable {
  readonly #file: Deno.FsFile;

  /** @param name the port's name, as on QEMU's command line */
  constructor(name: string) {
    this.#file = Deno.openSync(portNode(name), { write: true });
  }

  /** @param message goes to the host at once */
  send(message: GuestMessage): void {
    let rest = new TextEncoder().encode(`${JSON.stringify(message)}\n`);
    while (rest.length > 0) rest = rest.subarray(this.#file.writeSync(rest));
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function portNode(name: string): string {
  const port = Array.from(Deno.readDirSync(PORTS)).find((entry) =>
    Deno.readTextFileSync(join(PORTS, entry.name, "name")).trim() === name
  );
  if (port === undefined) throw new Error(`Cannot reach the host: no virtio port named ${name}`);
  return join("/dev", port.name);
}
