/**
 * The command line's entry. It only lists the verbs: each is a file of its own, loaded only when it
 * is the one asked for, so that a verb neither starts slower for the others nor needs their rights.
 *
 * @module
 */
import { type Context, processContext } from "./context.ts";
import type { Verb } from "./verb.ts";

/**
 * Loads a verb that the runtime must not find beforehand: it reads whatever a literal import leads
 * to, even if it is never reached, and so every verb would start slower with each that is added.
 * Such a verb needs the right to read Bargate's own files, which those that reach the kernel have;
 * verbs that must run with the right to read policies only are imported literally.
 */
function loadUnlinked(file: string): ReturnType<Verb["load"]> {
  return import(file);
}

/** All verbs, in the order of the help text. */
export const VERBS: Readonly<Record<string, Verb>> = {
  validate: {
    brief: "Check policy files and say exactly where they are wrong",
    load: () => import("./validate.ts"),
  },
  fmt: {
    brief: "Rewrite policy files in their canonical form, comments kept",
    load: () => import("./fmt.ts"),
  },
  test: {
    brief: "Ask policies the questions of their tests",
    load: () => import("./test.ts"),
  },
  explain: {
    brief: "Say why a request is allowed or not, or what a code or an errno means",
    load: () => import("./explain.ts"),
  },
  diff: {
    brief: "Say what two policy sets allow differently; exit with 1 if it is more",
    load: () => import("./diff.ts"),
  },
  schema: {
    brief: "Print the JSON Schema of a kind of file, for editors",
    load: () => import("./schema.ts"),
  },
  inventory: {
    brief: "Say what PCI functions this host has, as a table or as a file to plan against",
    load: () => loadUnlinked("./inventory.ts"),
    subverbs: ["take", "diff"],
  },
  preflight: {
    brief: "Say whether policies can be put into effect on this host, or on hosts that are files",
    load: () => loadUnlinked("./preflight.ts"),
  },
  init: {
    brief: "Write a first policy of what is on a host: it allows nothing, and has examples",
    load: () => loadUnlinked("./init.ts"),
  },
  plan: {
    brief: "Show what would be exported on this host or on one that is a file, down to the bytes",
    load: () => loadUnlinked("./plan.ts"),
  },
  export: {
    brief: "Export slices to a program, guard them, and take them back",
    load: () => loadUnlinked("./export.ts"),
    takesCommand: true,
  },
  reset: {
    brief: "Reset a device that is exported from; its grants end or are restored",
    load: () => loadUnlinked("./reset.ts"),
  },
  demo: {
    brief: "Show the whole way on a simulated host: no device, no root, some seconds",
    load: () => loadUnlinked("./demo.ts"),
  },
  lab: {
    brief: "Try Bargate on a real kernel under QEMU: a story, the test cases, or a shell",
    load: () => loadUnlinked("./lab.ts"),
  },
};

/**
 * Runs one command line.
 *
 * @param args what follows `bargate`
 * @param context the process's side, replaceable for tests
 * @returns the exit status
 */
export async function main(args: readonly string[], context: Context): Promise<number> {
  const paths = pathsOfValidate(args);
  if (paths !== undefined) {
    const { checkFiles, PLAIN } = await import("./check_files.ts");
    return await checkFiles(context, PLAIN, paths);
  }
  // Both are read at the same time.
  const [{ runCommandLine }] = await Promise.all([
    import("./command_line.ts"),
    verbOf(args)?.load(),
  ]);
  return await runCommandLine(VERBS, args, context);
}

function verbOf([name = ""]: readonly string[]): Verb | undefined {
  return Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
}

/**
 * The arguments of a `validate` without options, by far the most frequent run, in hooks: what parses
 * and explains command lines is not loaded for it.
 */
function pathsOfValidate([verb, ...paths]: readonly string[]): readonly string[] | undefined {
  const plain = paths.length > 0 && paths.every((path) => path === "-" || !path.startsWith("-"));
  return verb === "validate" && plain ? paths : undefined;
}

if (import.meta.main) {
  const context = processContext();
  try {
    const status = await main(Deno.args, context);
    // All is written: to end here is shorter than to have the runtime take itself apart. And what went
    // wrong can have left a thread behind in a call of the kernel that never ends.
    if (status !== 0 || pathsOfValidate(Deno.args) !== undefined) Deno.exit(status);
  } catch (error) {
    const { errorText } = await import("./error_text.ts");
    const { exitStatusOf } = await import("./errors.ts");
    context.process.stderr.write(`${errorText(error)}\n`);
    Deno.exit(exitStatusOf(error));
  }
}
