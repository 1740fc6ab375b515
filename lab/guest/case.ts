/** What a case of the laboratory is, and what it is given. @module */
import type { OtherProcessor } from "../machine/command_line.ts";
import type { StoryStyle } from "../protocol/message.ts";
import type { ImporterControl } from "./importer.ts";
import type { KernelMessages } from "./kernel_messages.ts";
import type { Ran, Running, RunOptions } from "./process.ts";
import type { Devices } from "./setup.ts";

/** A case. It passes when `run` returns, fails when it throws, is skipped when it calls `skip`. */
export interface LabCase {
  /** Unique, in words: what must hold. */
  readonly name: string;
  /** One sentence more. */
  readonly about?: string;
  /** How long at most; 60 s unless given. */
  readonly limitMs?: number;
  /** Needs a boot of its own, on this processor; absent: the usual one. */
  readonly processor?: OtherProcessor;
  /** Only if it is asked for by its whole name. */
  readonly onDemand?: boolean;
  run(context: CaseContext): Promise<void>;
}

/** A story that a person follows. */
export interface LabStory {
  readonly name: string;
  readonly about: string;
  run(context: StoryContext): Promise<void>;
}

/** What the guest offers. */
export interface GuestContext {
  readonly devices: Devices;
  /** The checkout, as on the host. */
  readonly checkout: string;
  /** A folder that the host sees too. */
  readonly exchange: string;
  /** An empty folder of this case alone, open to all accounts. */
  readonly scratch: string;
  readonly kernelLog: KernelMessages;
  /** Where the kernel's log stood when the case began. */
  readonly logStart: number;
  /** @param name `importer`, `export_bench`, `bar`, … @returns path of a compiled program */
  program(name: string): string;
  /** @returns the character device of a function bound to a VFIO driver */
  vfioNode(address: string): Promise<string>;
  /** Runs a program to its end. */
  run(command: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Starts a program; it is killed when the case ends. */
  start(command: readonly string[], options?: RunOptions): Running;
  /** Runs Bargate's command line to its end. */
  bargate(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Starts Bargate's command line; it is killed when the case ends. */
  startBargate(args: readonly string[], options?: RunOptions): Running;
  /** Listens for an importer; give its `socketPath` to the program as its argument. */
  importer(): ImporterControl;
  /** Reads bytes of a BAR through sysfs, past all of VFIO. */
  readBar(address: string, bar: number, offset: number, length: number): Promise<Uint8Array>;
  /** Writes bytes of a BAR through sysfs, past all of VFIO. */
  writeBar(address: string, bar: number, offset: number, bytes: Uint8Array): Promise<void>;
  /** Called when the case ends, last first. */
  defer(what: () => void | Promise<void>): void;
  /** Cases that take long are to be run, random ones from this seed on; absent: they are not. */
  readonly long?: { readonly seed: number };
  /** Records a measurement for the summary; a story has none. */
  figure?(name: string, value: number | string): void;
  /** A line for the log of the run. */
  log(text: string): void;
}

/** What a case is given. */
export interface CaseContext extends GuestContext {
  figure(name: string, value: number | string): void;
  /** Ends the case as skipped. */
  skip(why: string): never;
}

/** What a story is given. */
export interface StoryContext extends GuestContext {
  /** Shows a line to the person who follows. */
  say(text: string, style?: StoryStyle): void;
}
