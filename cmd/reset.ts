/**
 * `bargate reset`: resets a device that a running guardian has open, so that its grants end, or are
 * restored, as their rules say.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { RefusedError } from "../engine/errors.ts";
import {
  type GrantFate,
  type GrantHit,
  RESET_METHODS,
  type ResetMethod,
  type ResetOutcome,
} from "../engine/reset_outcome.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import type { Context } from "./context.ts";
import {
  askAround,
  type AskedReset,
  type DomainOutcome,
  type DomainRound,
  resetDomain,
} from "./domain_round.ts";
import { deviceArgument } from "./device_argument.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { type GuardianKind, operatorSockets } from "./operator_socket.ts";
import { visible } from "./output/visible.ts";
import { checkRuntimeFolder, runtimeFolder } from "./runtime_folder.ts";
import { jsonText } from "./output/json_text.ts";

interface Flags {
  readonly method: ResetMethod;
  readonly domain: boolean;
  readonly format: "human" | "json" | "jsonl";
  readonly sim: boolean;
}

async function reset(this: Context, flags: Flags, device: string): Promise<void> {
  const kernel = new LinuxKernel();
  const folder = runtimeFolder(kernel.uid, undefined, kindOf(flags));
  await checkRuntimeFolder(kernel.uid, folder);
  const asked: AskedReset = { device, method: flags.method };
  const sockets = () => operatorSockets(folder, kindOf(flags));
  const round = await askAround(kernel, await sockets(), asked);
  if (round === undefined) {
    throw new CommandError(
      `Cannot reset ${device}: no running bargate of this account has it open${
        flags.sim ? " on a simulated host" : ""
      }`,
      ExitStatus.hostNotReady,
    );
  }
  const done = flags.domain || round.hits.length === 0
    ? await resetDomain(kernel, await sockets(), asked, knownTo(this, round, flags), flags.domain)
    : round;
  if ("devices" in done) tellDone(this, flags, device, done);
  else tellDenied(this, flags, device, done.hits);
}

function kindOf({ sim }: Flags): GuardianKind {
  return sim ? "simulated" : "real";
}

/** Grants of a guardian that does not answer may be hit too: that needs the same consent. */
function knownTo(context: Context, round: DomainRound, { domain }: Flags): DomainRound {
  for (const why of round.silent) {
    if (!domain) {
      throw new RefusedError(
        `Cannot tell which grants the reset would hit: ${why}; --domain resets all the same`,
      );
    }
    context.process.stderr.write(
      `warning: a running bargate does not say what it grants: ${visible(why)}\n`,
    );
  }
  return round;
}

function tellDone(context: Context, flags: Flags, device: string, done: DomainOutcome): void {
  const kind = kindOf(flags);
  for (const why of done.silent) {
    context.process.stderr.write(
      `warning: a running bargate does not say whether it has ended its grants: ${visible(why)}\n`,
    );
  }
  context.process.stdout.write(resultIn[flags.format](device, done, kind));
  context.exitWith(done.failed > 0 ? ExitStatus.revokeFailed : ExitStatus.done);
}

function tellDenied(
  context: Context,
  flags: Flags,
  device: string,
  hits: readonly GrantHit[],
): void {
  const { format, method } = flags;
  const kind = kindOf(flags);
  const denied = { device, method, denied: true };
  const text = {
    human: () => deniedText(device, hits, kind),
    json: () => lines({ ...denied, hits, ...markOf(kind) }),
    jsonl: () => lines(...hits.map((hit) => ({ hit })), { ...denied, ...markOf(kind) }),
  };
  context.process.stdout.write(text[format]());
  context.exitWith(ExitStatus.denied);
}

/** In JSON, what is about simulated devices says so. */
function markOf(kind: GuardianKind): { readonly simulated?: true } {
  return kind === "simulated" ? { simulated: true } : {};
}

/** The same for people. */
function subjectOf(device: string, kind: GuardianKind): string {
  return kind === "simulated" ? `${device} (simulated)` : device;
}

/** For people: every grant that would be hit. */
function deniedText(device: string, hits: readonly GrantHit[], kind: GuardianKind): string {
  const lines = hits.map((hit) =>
    visible(
      `  ${hit.export} to ${hit.importer}, on ${hit.device}, by the reset of ${hit.through}`,
    )
  );
  return [
    `denied: a reset of ${
      subjectOf(device, kind)
    } would hit grants of other devices, and nothing was done`,
    ...lines,
    "say --domain to reset all that is reset together",
    "",
  ].join("\n");
}

/** Each value in a line of its own. */
function lines(...values: readonly unknown[]): string {
  return values.map((value) => `${jsonText(value)}\n`).join("");
}

/** One JSON value. */
function resultJson(device: string, done: ResetOutcome, kind: GuardianKind): string {
  const { ended, failed, restored, devices } = done;
  return lines({ device, ended, failed, restored, devices, ...markOf(kind) });
}

/** A line for what became of each grant, the counts last. */
function resultLines(device: string, done: ResetOutcome, kind: GuardianKind): string {
  const { ended, failed, restored, devices } = done;
  const fates = devices.flatMap((each) =>
    each.grants.map((grant) => ({ device: each.device, ...grant }))
  );
  return lines(...fates, { device, ended, failed, restored, ...markOf(kind) });
}

const FATES: Readonly<Record<GrantFate["became"], string>> = {
  ended: "ended",
  failed: "its end could not be seen",
  restored: "restored, or renewed",
};

/** The same for people: a line, and one for each grant where several devices were hit. */
function resultText(
  device: string,
  done: ResetOutcome,
  kind: GuardianKind,
): string {
  const { ended, failed, restored, devices } = done;
  const unseen = failed === 0 ? "" : `, ENDS THAT COULD NOT BE SEEN: ${failed}`;
  const grants = devices.length < 2
    ? []
    : devices.flatMap((each) =>
      each.grants.map((grant) =>
        visible(`  ${each.device}  ${grant.export} to ${grant.importer}: ${FATES[grant.became]}`)
      )
    );
  const counts = `grants ended: ${ended}, restored or renewed: ${restored}${unseen}`;
  return [`${subjectOf(device, kind)} has been reset; ${counts}`, ...grants, ""].join("\n");
}

const resultIn = { human: resultText, json: resultJson, jsonl: resultLines };

/** The verb. */
export const command = buildCommand<Flags, [string], Context>({
  func: reset,
  parameters: {
    flags: {
      method: {
        kind: "enum",
        values: RESET_METHODS,
        default: "function",
        brief:
          "function: VFIO_DEVICE_RESET; bus: of all functions of its slot or bus (VFIO_DEVICE_PCI_HOT_RESET); decode: memory decode off and on again (of a virtual function: D3hot and back)",
      },
      domain: {
        kind: "boolean",
        default: false,
        brief: "Go on also where grants of other devices are hit: what is reset together",
      },
      format: {
        kind: "enum",
        values: ["human", "json", "jsonl"],
        default: "human",
        brief: "How to print the result",
      },
      sim: {
        kind: "boolean",
        default: false,
        brief: "Of a bargate that runs with --sim; without this, such ones are never asked",
      },
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "PCI address",
        parse: deviceArgument("reset a device"),
        placeholder: "device",
      }],
    },
  },
  docs: {
    brief: "Reset a device that is exported from; its grants end or are restored",
    fullDescription: [
      "Asks the running bargate of this account that has the device open. Root's and each other",
      "account's are apart: to reach one of another account, run this as that account.",
      "",
      "A reset of a bus hits all functions on it, and one of a physical function its virtual ones.",
      "Where other devices have grants (of any bargate of this account), the reset is refused, with",
      "exit status 1 and a list of them, unless --domain is given. Grants of other accounts are not",
      "seen from here; bargate plan shows the functions of the domain.",
      "",
      "Exit status 6: the device was reset, but the end of a grant could not be seen, or a running",
      "bargate that may have had some did not answer.",
    ].join("\n"),
  },
});
