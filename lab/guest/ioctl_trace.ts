/**
 * Records the ioctls that processes make, with the bytes of their arguments as the kernel gets them: a
 * kprobe on the system call, which reads the caller's memory.
 *
 * @module
 */
import { join } from "../path.ts";

const TRACEFS = "/sys/kernel/tracing";
const EVENT = "bargate_lab/plan_ioctl";
const INSTANCE = join(TRACEFS, "instances/bargate_lab_plan");
/** Words of eight bytes that are recorded: the longest argument of the cases has five. */
const WORDS = 6;
const WORD_BYTES = 8;
/** Offsets in `struct pt_regs` (x86_64) of the system call's second and third argument. */
const [RSI, RDX] = [104, 96];
/** The kernel reads no arrays from a process, but words. */
const FETCHES = Array.from(
  { length: WORDS },
  (_, index) => `w${index}=+u${index * WORD_BYTES}(+${RDX}(%di)):x64`,
);
const PROBE = `p:${EVENT} __x64_sys_ioctl cmd=+${RSI}(%di):x32 ${FETCHES.join(" ")}`;
/** VFIO's and iommufd's. */
const FILTER = "cmd >= 0x3b00 && cmd <= 0x3bff";

/** An ioctl that was made. */
export interface TracedIoctl {
  /** Of the thread. */
  readonly tid: number;
  readonly request: number;
  /** As many as are recorded of any: what is behind the argument is not meant. */
  readonly bytes: Uint8Array;
}

const DEVICE_FEATURE = 0x3b75;
/** VFIO_DEVICE_FEATURE_GET of VFIO_DEVICE_FEATURE_DMA_BUF, in `struct vfio_device_feature`. */
const [FLAGS_AT, GET_DMA_BUF] = [4, 0x1000b];

/** @returns whether it asks for a dma-buf, and not only whether there could be one */
export function isExport({ request, bytes }: TracedIoctl): boolean {
  if (request !== DEVICE_FEATURE || bytes.length < FLAGS_AT + 4) return false;
  const { buffer, byteOffset } = bytes;
  return new DataView(buffer, byteOffset).getUint32(FLAGS_AT, true) === GET_DMA_BUF;
}

/** Records from now on. */
export class IoctlTrace {
  /** @returns the trace; `stop` must be called, for probes outlive processes */
  static async start(): Promise<IoctlTrace> {
    await append(PROBE);
    try {
      await Deno.mkdir(INSTANCE);
      const event = join(INSTANCE, "events", EVENT);
      await Deno.writeTextFile(join(event, "filter"), FILTER);
      await Deno.writeTextFile(join(event, "enable"), "1");
      return new IoctlTrace();
    } catch (error) {
      await new IoctlTrace().stop();
      throw error;
    }
  }

  /** Everything so far, in order. */
  async read(): Promise<readonly TracedIoctl[]> {
    const text = await Deno.readTextFile(join(INSTANCE, "trace"));
    return text.split("\n").flatMap((line) => parse(line) ?? []);
  }

  /** Takes the probe away. */
  async stop(): Promise<void> {
    try {
      await Deno.writeTextFile(join(INSTANCE, "events", EVENT, "enable"), "0");
      await Deno.remove(INSTANCE);
    } finally {
      await append(`-:${EVENT}`);
    }
  }
}

/** Others have probes there too: opened anew without appending, the file would lose them. */
async function append(line: string): Promise<void> {
  await Deno.writeTextFile(join(TRACEFS, "kprobe_events"), `${line}\n`, {
    append: true,
    create: false,
  });
}

function parse(line: string): TracedIoctl | undefined {
  const [, tid, request] = /-(\d+)\s+\[\d+\].* cmd=0x([0-9a-f]+) /.exec(line) ?? [];
  if (tid === undefined || request === undefined) return undefined;
  const words = [...line.matchAll(/ w\d=0x([0-9a-f]+)/g)].map(([, word]) => BigInt(`0x${word}`));
  const bytes = new Uint8Array(new BigUint64Array(words).buffer);
  return { tid: Number(tid), request: Number.parseInt(request, 16), bytes };
}
