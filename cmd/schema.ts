/**
 * `bargate schema`: prints the JSON Schemas of policy files, for editors.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
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
};

function schema(this: Context, _flags: NonNullable<unknown>, kind = "ExportPolicy"): void {
  this.process.stdout.write(`${JSON.stringify(SCHEMAS[kind], undefined, 2)}\n`);
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
export const command = buildCommand<NonNullable<unknown>, [string?], Context>({
  func: schema,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "ExportPolicy (default), PolicySet or PolicyTest",
        parse: parseKind,
        optional: true,
        placeholder: "kind",
      }],
    },
  },
  docs: { brief: "Print the JSON Schema of a kind of policy file, for editors" },
});
