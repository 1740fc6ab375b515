/**
 * The C program that says what a compiler makes of the layout table.
 *
 * The laboratory compiles it against the kernel's own headers (`-I HEADERS/include`), runs it, and
 * writes what it prints to `ffi/layouts.checked.json`.
 *
 * @module
 */
import { CONSTANTS_BY_HEADER, STRUCTS } from "./layouts.ts";
import { ERRNO } from "./errno.ts";
import type { Field, Layout } from "./struct.ts";

/** What the C program prints, and `ffi/layouts.checked.json` holds. */
export interface CheckedLayouts {
  /** `x86_64` or `aarch64`. */
  readonly arch: string;
  /** Version of the kernel headers: `7.3.4`. */
  readonly kernel: string;
  readonly structs: Readonly<Record<string, CheckedStruct>>;
  readonly constants: Readonly<Record<string, number>>;
}

/** A struct as the compiler sees it; a field of type `bytes` has an offset only. */
export interface CheckedStruct {
  readonly size: number;
  readonly fields: Readonly<
    Record<string, { readonly offset: number; readonly size?: number; readonly signed?: boolean }>
  >;
}

/**
 * Writes the C program.
 *
 * @returns its source, for a C11 compiler with GNU extensions; it prints {@linkcode CheckedLayouts}
 * as JSON
 *
 * @example
 * ```ts
 * import { layoutProbeSource } from "./generate_layout_probe.ts";
 *
 * const source = layoutProbeSource();
 * if (!source.includes("struct vfio_region_dma_range")) throw new Error("incomplete");
 * ```
 */
export function layoutProbeSource(): string {
  return [
    "#define _GNU_SOURCE",
    ...headers().map((header) => `#include <${header}>`),
    ...MACROS,
    "int main(void) {",
    "  const char *comma;",
    `  printf("{\\n  \\"arch\\": \\"%s\\",\\n  \\"kernel\\": \\"%d.%d.%d\\",\\n", ARCH, KERNEL);`,
    '  printf("  \\"structs\\": {");',
    ...joined(Object.entries<Layout>(STRUCTS), structLines),
    '  printf("\\n  },\\n  \\"constants\\": {");',
    ...joined(constants(), (name) => [`  CONSTANT(${name});`]),
    '  printf("\\n  }\\n}\\n");',
    "  return 0;",
    "}",
    "",
  ].join("\n");
}

const MACROS = [
  "#if defined(__x86_64__)",
  '#define ARCH "x86_64"',
  "#elif defined(__aarch64__)",
  '#define ARCH "aarch64"',
  "#else",
  '#error "Bargate runs on x86_64 and aarch64"',
  "#endif",
  "#define KERNEL LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 255, LINUX_VERSION_CODE & 255",
  '#define NEXT(format, ...) (printf("%s\\n" format, comma, __VA_ARGS__), comma = ",")',
  "#define MEMBER(type, member) (((type *)0)->member)",
  '#define STRUCT(name, type) NEXT("    \\"%s\\": { \\"size\\": %zu, \\"fields\\": {", name, sizeof(type))',
  '#define BYTES(name, type, member) NEXT("      \\"%s\\": { \\"offset\\": %zu }", name, offsetof(type, member))',
  '#define ADDRESS(name, type, member) NEXT("      \\"%s\\": { \\"offset\\": %zu, \\"size\\": %zu, \\"signed\\": false }", name, offsetof(type, member), sizeof(MEMBER(type, member)))',
  '#define INTEGER(name, type, member) NEXT("      \\"%s\\": { \\"offset\\": %zu, \\"size\\": %zu, \\"signed\\": %s }", name, offsetof(type, member), sizeof(MEMBER(type, member)), (__typeof__(MEMBER(type, member)))-1 < 0 ? "true" : "false")',
  '#define CONSTANT(name) NEXT("    \\"%s\\": %lld", #name, (long long)name)',
];

function headers(): string[] {
  const used = Object.values<Layout>(STRUCTS).map((struct) => struct.header);
  const own = ["stdio.h", "stddef.h", "errno.h", "linux/version.h"];
  return [...new Set([...own, ...used, ...Object.keys(CONSTANTS_BY_HEADER)])];
}

function constants(): string[] {
  const byHeader = Object.values(CONSTANTS_BY_HEADER).flatMap((group) => Object.keys(group));
  return [...byHeader, ...Object.keys(ERRNO)];
}

/** JSON puts commas between things; the program starts each list with none. */
function joined<T>(things: readonly T[], lines: (thing: T) => string[]): string[] {
  return ['  comma = "";', ...things.flatMap(lines)];
}

function structLines([name, struct]: [string, Layout]): string[] {
  const fields = Object.entries<Field>(struct.fields);
  return [
    `  STRUCT("${name}", ${struct.c});`,
    ...joined(fields, ([field, facts]) => [`  ${fieldLine(struct.c, field, facts)}`]),
    '  printf(" } }"); comma = ",";',
  ];
}

function fieldLine(type: string, name: string, field: Field): string {
  const macro = { bytes: "BYTES", pointer: "ADDRESS" }[field.type as string] ?? "INTEGER";
  return `${macro}("${name}", ${type}, ${field.c ?? name});`;
}

/**
 * What the program printed, as the checked-in file has it.
 *
 * @param printed the program's standard output
 * @returns the content of `ffi/layouts.checked.json`
 * @throws {SyntaxError} if it is no JSON
 */
export function checkedLayoutsFile(printed: string): string {
  return `${JSON.stringify(JSON.parse(printed), null, 2)}\n`;
}

if (import.meta.main) console.log(layoutProbeSource());
