/**
 * A port that counts every call that is made through it, and lets chosen ones go wrong.
 *
 * @module
 */
import { Fd } from "../../../engine/fd.ts";
import type { Kernel, Lane } from "../../../engine/kernel.ts";
import { KernelError, LaneEndedError } from "../../../engine/kernel_error.ts";
import type { SimLane } from "../../../sim/lane.ts";
import type { SimKernel } from "../../../sim/sim_kernel.ts";
import { settle, SSD } from "../support.ts";
import { callNameOf, ERRNO_NUMBERS, errnosOf, type FaultErrno, refusedAfter } from "./refusals.ts";

/** What happens while a call is slow. */
export const MEANWHILE = ["nothing", "exit", "reset", "shutdown", "unbind", "removal"] as const;
export type Meanwhile = (typeof MEANWHILE)[number];

/** What goes wrong with a call. */
export type Fault =
  /** The kernel refuses: before it has done anything, or when it has done all. */
  | { readonly kind: "refuse"; readonly errno: FaultErrno; readonly when: "before" | "after" }
  /** Other things happen before it is answered. */
  | { readonly kind: "slow"; readonly meanwhile: Meanwhile }
  /** The device is taken away between this call and the next: asked for, or pulled out. */
  | { readonly kind: "vanish"; readonly how: "unbind" | "unplug" }
  /** The importer ends before it. */
  | { readonly kind: "exit" }
  /** The lane's thread dies with it. */
  | { readonly kind: "die" };

/** A call that was made. */
export interface Call {
  /** Of the port. */
  readonly name: keyof Kernel | keyof Lane;
  /** Absent: it cannot wait. */
  readonly lane?: string;
}

/** What a fault does to the host beyond the call. */
export interface FaultHooks {
  meanwhile(what: Meanwhile): void | Promise<void>;
  /** Lets time go by. */
  pass(ms: number): Promise<void>;
  /** A program has its descriptors. */
  spawned(): void;
}

/** Calls that the kernel makes of itself, or that answer without it. */
const UNCOUNTED = new Set<string>(["pageSize", "constructor", "makeNonDumpable"]);
/** Longer than the limit of an end, shorter than that of an open, ms. */
const SLOW_MS = 3_000;

/** Counts calls, and makes faults. */
export class FaultyKernel {
  readonly calls: Call[] = [];
  /** Those that were reached. */
  readonly made: number[] = [];
  hooks: FaultHooks | undefined;
  readonly #waits: Promise<void>[] = [];
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
    return this.#proxy<Kernel>(this.kernel, (name, _args, make) => {
      if (name === "openLane") {
        return this.#laneOf(make() as SimLane);
      }
      return this.#sync(name as keyof Kernel, make);
    });
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
    const at = this.calls.push(call) - 1;
    const fault = this.faults.get(at);
    if (fault !== undefined) this.made.push(at);
    if (fault?.kind === "exit") void this.hooks?.meanwhile("exit");
    return fault;
  }

  #sync(name: keyof Kernel, make: () => unknown): unknown {
    const fault = this.#begin({ name });
    if (fault?.kind === "refuse" && fault.when === "before") throw refusal(name, fault.errno);
    const result = make();
    if (name === "spawn") this.hooks?.spawned();
    this.#after(fault);
    if (fault?.kind === "refuse" && fault.when === "after") throw refusal(name, fault.errno);
    return result;
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
    const result = await make();
    this.#after(fault);
    if (fault?.kind === "refuse" && fault.when === "after") throw refusal(name, fault.errno);
    return result;
  }

  /** The thread waits in the call, and what comes after it waits behind. */
  #keep(lane: SimLane, meanwhile: Meanwhile): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    lane.delay(promise);
    const pass = async () => {
      await settle();
      await this.hooks?.meanwhile(meanwhile);
      await this.hooks?.pass(SLOW_MS);
      resolve();
    };
    this.#waits.push(Promise.resolve().then(pass));
  }

  #after(fault: Fault | undefined): void {
    if (fault?.kind !== "vanish") return;
    if (fault.how === "unplug") this.#unplugged = true;
    void this.hooks?.meanwhile("unbind");
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

/** All that can go wrong with a call. */
export function faultsOf({ name, lane }: Call): readonly Fault[] {
  const refusals = errnosOf(name, lane !== undefined).flatMap((errno): readonly Fault[] => {
    if (name === "close") return [{ kind: "refuse", errno, when: "after" }];
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
    { kind: "exit" },
  ];
}
