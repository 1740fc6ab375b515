/**
 * `bargate validate`: checks policy files, and says exactly where they are wrong.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import type { Context } from "./context.ts";

/** The verb. */
export const command = buildCommand<NonNullable<unknown>, string[], Context>({
  func: () => new Error("Cannot validate: this verb is not built yet"),
  parameters: {
    positional: {
      kind: "array",
      minimum: 1,
      parameter: {
        brief: "Policy files, folders, or - for standard input",
        parse: String,
        placeholder: "path",
      },
    },
  },
  docs: { brief: "Check policy files and say exactly where they are wrong" },
});
