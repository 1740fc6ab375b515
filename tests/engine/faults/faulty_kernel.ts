/**
 * A port that counts every call that is made through it, and lets chosen ones go wrong.
 *
 * @module
 */
import { Fd } from "../../../engine/fd.ts";
import type { Kernel, Lane } from "../../../engine/kernel.ts";
import { KernelError, LaneEndedError } from "../../../engine/kernel_error.ts";
import { SimEventQueue } from "../../../sim/event_queue.ts";
import type { SimLane } from "../../../sim/lane.ts";
import type { SimKernel } from "../../../sim/sim_kernel.ts";
import { SimListener, SimSocket } from "../../../sim/sockets.ts";
import { SimEventFd } from "../../../sim/vfio.ts";
import { settle, SSD } from "../support.ts";
import { callNameOf, ERRNO_NUMBERS, errnosOf, type FaultErrno, refusedAfter } from "./refusals.ts";

/** What happens while a call is slow. */
export const MEANWHILE = [
  "nothing",
  "exit",
  "reset",
  "shutdown",
  "unbind",
  "removal",
  "removal of another",
] as const;
export type Meanwhile = (typeof MEANWHILE)[number];

/** What goes wrong with a call. */
export type Fault =
  /** The kernel refuses: before it has done anything, or when it has done all. */
  | { readonly kind: "refuse"; readonly errno: FaultErrno; readonly when: "before" | "after" }
  /** Other things happen before it is answered. */
  | { readonly kind: "slow"; readonly meanwhile: Meanwhile }
  /** The device is taken away between this call and the next: asked for, or pulled out. */
  | { readonly kind: "vanish"; readonly how: "unbind" | "unplug" }
  /** Somebody does something before it. */
  | { readonly kind: "before"; readonly deed: Deed }
  /** The lane's thread dies with it. */
  | { readonly kind: "die" }
  /** Bargate is killed before it. */
  | { readonly kind: "kill" };

/**
 * What others do between two calls. `exit`: the importer ends; `hold`: it lets go of no buffer that it
 * has; `stranger`: another process uses its connection; `become`: it becomes another account's; `copy`: a
 * debugger copies the descriptors of devices; the others: at the device's node is another one from here
 * on, by its id, its BAR, its MSI-X table or its address.
 */
export const DEEDS = [
  "exit",
  "hold",
  "stranger",
  "become",
  "copy",
  "other id",
  "other BAR",
  "other MSI-X",
  "other address",
] as const;
export type Deed = (typeof DEEDS)[number];

/** A call that was made. */
export interface Call {
  /** Of the port. */
  readonly name: keyof Kernel | keyof Lane;
  /** Absent: it cannot wait. */
  readonly lane?: string;
}

/** What a fault does to the host beyond the call. */
export interface FaultHooks {
  /** @param lane whose call is slow */
  meanwhile(what: Meanwhile, lane: string): void | Promise<void>;
  deed(what: Deed): void;
  /** All that it has is closed. */
  killed(): void;
  /** The call is answered from here on. */
  over(what: Meanwhile, lane: string): void;
  called(name: string, args: readonly unknown[]): void;
  answered(name: string, args: readonly unknown[], result: unknown): void;
  /** Lets time go by. */
  pass(ms: number): Promise<void>;
  /** A program has its descriptors. */
  spawned(): void;
}

/** What answers without the kernel. */
const UNCOUNTED = new Set<string>(["pageSize", "constructor"]);
/** Calls by which the event loop takes what it was told of. */
const READS = new Set<string>([
  "receive",
  "accept",
  "readEventFd",
  "readFileEvents",
  "readGate",
  "receiveUevent",
]);
/** Longer than the limit of an end, shorter than that of an open, ms. */
const SLOW_MS = 3_000;

/** Counts calls, and makes faults. */
export class FaultyKernel {
  readonly calls: Call[] = [];
  /** Those that were reached. */
  readonly made: number[] = [];
  hooks: FaultHooks | undefined;
  readonly #waits: Promise<void>[] = [];
  #kept = 0;
  #isKilled = false;
  #unplugged = false;

  /**
   * @param kernel the simulated one
   * @param faults by number of the call
   */
  constructor(
    private readonly kernel: SimKernel,
    private readonly faults: ReadonlyMap<number, Fault>,
  ) {}

  /** The port to give to the engine. */
  get port(): Kernel {
    return this.#proxy<Kernel>(this.kernel, (name, args, make) => {
      if (name === "openLane") {
        return this.#laneOf(make() as SimLane);
      }
      return this.#sync(name as keyof Kernel, args, make);
    });
  }

  /** Whether a call is kept. */
  get keeps(): boolean {
    return this.#kept > 0;
  }

  /** Resolves when no call is kept any more. */
  async answered(): Promise<void> {
    while (this.#waits.length > 0) {
      await this.#waits.shift();
      // What it was waited for with is only made now, and can be slow too.
      await settle();
    }
  }

  #laneOf(lane: SimLane): Lane {
    return this.#proxy<Lane>(lane, (name, args, make) => {
      if (name === "end") return make();
      return this.#async(lane, name as keyof Lane, args, make as () => Promise<unknown>);
    });
  }

  #proxy<T extends object>(
    of: T,
    call: (name: string, args: readonly unknown[], make: () => unknown) => unknown,
  ): T {
    return new Proxy(of, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function" || UNCOUNTED.has(String(key))) return value;
        return (...args: unknown[]) => call(String(key), args, () => value.apply(target, args));
      },
    });
  }

  #begin(call: Call): Fault | undefined {
    if (this.#isKilled) throw new LaneEndedError(call.name, "the process was killed");
    const at = this.calls.push(call) - 1;
    const fault = this.faults.get(at);
    if (fault !== undefined) this.made.push(at);
    if (fault?.kind === "before") this.hooks?.deed(fault.deed);
    if (fault?.kind === "kill") {
      this.#isKilled = true;
      this.hooks?.killed();
      throw new LaneEndedError(call.name, "the process was killed");
    }
    return fault;
  }

  #sync(name: keyof Kernel, args: readonly unknown[], make: () => unknown): unknown {
    const fault = this.#begin({ name });
    if (fault?.kind === "refuse" && fault.when === "before") {
      this.#tellAgain(name, args);
      throw refusal(name, fault.errno);
    }
    this.hooks?.called(name, args);
    const result = make();
    // What becomes of a promise is looked at when it is answered.
    if (result instanceof Promise) {
      void result.then((answer) => this.hooks?.answered(name, args, answer), () => {});
    } else this.hooks?.answered(name, args, result);
    if (name === "spawn") this.hooks?.spawned();
    this.#after(fault);
    if (fault?.kind === "refuse" && fault.when === "after") throw refusal(name, fault.errno);
    return result;
  }

  /** What is watched stays readable when it could not be read, and that is told again. */
  #tellAgain(name: keyof Kernel, [fd]: readonly unknown[]): void {
    if (!READS.has(name) || !(fd instanceof Fd)) return;
    const file = this.kernel.table.get(fd.number);
    if (file instanceof SimEventFd) file.onSignal();
    if (file instanceof SimSocket || file instanceof SimEventQueue) file.onReadable();
    if (file instanceof SimListener) file.onReadable();
  }

  async #async(
    lane: SimLane,
    name: keyof Lane,
    args: readonly unknown[],
    make: () => Promise<unknown>,
  ): Promise<unknown> {
    const fault = this.#begin({ name, lane: lane.name });
    if (fault?.kind === "die") {
      lane.die();
      // The descriptor of a close is given up or stays by what table it is in.
      if (name === "close") return await make();
      throw new LaneEndedError(lane.name, "its thread has died");
    }
    if (fault?.kind === "slow") this.#keep(lane, fault.meanwhile);
    if (fault?.kind === "refuse" && fault.when === "before") throw refusal(name, fault.errno);
    if (this.#unplugged && isOnDevice(name, args)) {
      throw refusal(name, name.endsWith("Region") ? "EIO" : "ENODEV");
    }
    this.hooks?.called(name, args);
    const result = await make();
    this.hooks?.answered(name, args, result);
    this.#after(fault);
    if (fault?.kind === "refuse" && fault.when === "after") throw refusal(name, fault.errno);
    return result;
  }

  /** The thread waits in the call, and what comes after it waits behind. */
  #keep(lane: SimLane, meanwhile: Meanwhile): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    lane.delay(promise);
    this.#kept++;
    const pass = async () => {
      await settle();
      await this.hooks?.meanwhile(meanwhile, lane.name);
      await this.hooks?.pass(SLOW_MS);
      this.hooks?.over(meanwhile, lane.name);
      this.#kept--;
      resolve();
    };
    this.#waits.push(Promise.resolve().then(pass));
  }

  #after(fault: Fault | undefined): void {
    if (fault?.kind !== "vanish") return;
    if (fault.how === "unplug") this.#unplugged = true;
    void this.hooks?.meanwhile("unbind", "");
  }
}

function refusal(name: string, errno: FaultErrno): KernelError {
  return new KernelError(
    callNameOf(name),
    ERRNO_NUMBERS[errno],
    errno,
    "what a fault was made for",
  );
}

function isOnDevice(name: string, [first]: readonly unknown[]): boolean {
  if (name === "close" || !(first instanceof Fd)) return false;
  return first.what.includes(SSD) && !first.what.startsWith("dma-buf");
}

/** Calls that give a descriptor up, whatever they answer. */
const GIVES_UP = new Set<string>(["close", "answerGate"]);

/** All that can go wrong with a call. */
export function faultsOf({ name, lane }: Call): readonly Fault[] {
  const refusals = errnosOf(name).flatMap((errno): readonly Fault[] => {
    // What these give up is given up all the same.
    if (GIVES_UP.has(name)) return [{ kind: "refuse", errno, when: "after" }];
    const before: Fault = { kind: "refuse", errno, when: "before" };
    return refusedAfter(name) ? [before, { ...before, when: "after" }] : [before];
  });
  const waits = lane === undefined ? [] : [
    ...MEANWHILE.map((meanwhile): Fault => ({ kind: "slow", meanwhile })),
    { kind: "die" } as const,
  ];
  return [
    ...refusals,
    ...waits,
    { kind: "vanish", how: "unbind" },
    { kind: "vanish", how: "unplug" },
    { kind: "kill" },
    ...DEEDS.map((deed): Fault => ({ kind: "before", deed })),
  ];
}
