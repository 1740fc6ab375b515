/**
 * `bargate schema`: prints the JSON Schemas of policy files and of inventories, for editors.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import snapshotSchema from "../host/snapshot.schema.json" with { type: "json" };
import policySetSchema from "../policy/policy_set.schema.json" with { type: "json" };
import policyTestSchema from "../policy/policy_test.schema.json" with { type: "json" };
import policySchema from "../policy/schema.json" with { type: "json" };
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

const SCHEMAS: Readonly<Record<string, unknown>> = {
  ExportPolicy: policySchema,
  PolicySet: policySetSchema,
  PolicyTest: policyTestSchema,
  HostSnapshot: snapshotSchema,
};

/** Kinds by what people call them. */
const KIND_OF = {
  "policy": "ExportPolicy",
  "policy-set": "PolicySet",
  "policy-test": "PolicyTest",
  "snapshot": "HostSnapshot",
} as const;

interface Flags {
  readonly of?: keyof typeof KIND_OF;
}

function schema(this: Context, { of }: Flags, kind?: string): void {
  if (of !== undefined && kind !== undefined) {
    throw new CommandError(
      `Cannot print two schemas: give a kind or --of (received ${kind} and --of ${of})`,
      ExitStatus.usage,
    );
  }
  const wanted = of === undefined ? kind ?? "ExportPolicy" : KIND_OF[of];
  this.process.stdout.write(`${JSON.stringify(SCHEMAS[wanted], undefined, 2)}\n`);
}

function parseKind(text: string): string {
  if (Object.hasOwn(SCHEMAS, text)) return text;
  const kinds = Object.keys(SCHEMAS).join(", ");
  throw new CommandError(
    `Cannot find a schema of this kind: expected ${kinds} (received ${text})`,
    ExitStatus.usage,
  );
}

/** The verb. */
export const command = buildCommand<Flags, [string?], Context>({
  func: schema,
  parameters: {
    flags: {
      of: {
        kind: "enum",
        values: ["policy", "policy-set", "policy-test", "snapshot"],
        optional: true,
        brief: "The same by another name; snapshot: what bargate inventory writes",
      },
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "ExportPolicy (default), PolicySet, PolicyTest or HostSnapshot",
        parse: parseKind,
        optional: true,
        placeholder: "kind",
      }],
    },
  },
  docs: { brief: "Print the JSON Schema of a kind of file, for editors" },
});
