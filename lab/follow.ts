/** Hears a guest out that does one job. @module */
import { LabError } from "./lab_error.ts";
import { endedEarly, type Vm } from "./machine/vm.ts";
import type { GuestMessage } from "./protocol/message.ts";

/** The guest's last message. */
export type DoneMessage = Extract<GuestMessage, { kind: "done" }>;

/** What is followed. */
export interface Followed {
  /** What the guest does, for messages: `the story "machine"`. */
  readonly job: string;
  /** Between two messages of the guest. */
  readonly silenceLimitMs: number;
  /** Hears each message but the last. */
  message(message: GuestMessage): void;
}

/**
 * @param vm the machine
 * @param followed what it does
 * @returns its last message, which says that all went well
 * @throws LabError when the guest ends, breaks, fails, or is silent for too long
 */
export async function follow(vm: Vm, followed: Followed): Promise<DoneMessage> {
  const doing = `${followed.job} ran`;
  while (true) {
    const event = await vm.next(followed.silenceLimitMs, `the next line of ${followed.job}`);
    if (event.kind === "end") throw endedEarly(vm, event.status, doing);
    if (event.kind === "trouble" && event.trouble.fatal) {
      const { what, line } = event.trouble;
      throw new LabError(`kernel ${what} while ${doing}: ${line}`, { tail: vm.tail(40) });
    }
    if (event.kind !== "message") continue;
    if (event.message.kind === "done") return wellDone(vm, followed.job, event.message);
    followed.message(event.message);
  }
}

function wellDone(vm: Vm, job: string, done: DoneMessage): DoneMessage {
  if (done.ok) return done;
  throw new LabError(`Cannot go on with ${job}: ${done.message ?? "no reason given"}`, {
    fix: `see kernel.log in ${vm.logFolder}`,
    tail: vm.tail(10),
  });
}
