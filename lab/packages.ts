/** Programs and libraries of the host that the laboratory needs, and how to get them. @module */
import { exec } from "./exec.ts";
import { APT_HELPER } from "./kernel/download.ts";
import { LabError } from "./lab_error.ts";
import type { LabOutput } from "./output.ts";

/** Something that a package of Debian brings. */
export interface Need {
  readonly package: string;
  /** A program found by name in PATH, or a file found by its absolute path. */
  readonly proof: string;
}

/** To run the machine, and to compile what runs in it. */
export const MACHINE_NEEDS: readonly Need[] = [
  { package: "qemu-system-x86", proof: "qemu-system-x86_64" },
  { package: "busybox-static", proof: "busybox" },
  { package: "util-linux", proof: "setpriv" },
  { package: "pciutils", proof: "lspci" },
  { package: "gcc", proof: "gcc" },
  { package: "libc6-dev", proof: "/usr/include/stdlib.h" },
];

/** To fetch and build the kernel. */
export const BUILD_NEEDS: readonly Need[] = [
  { package: "apt", proof: "apt-get" },
  { package: "apt", proof: APT_HELPER },
  { package: "dpkg", proof: "dpkg-deb" },
  { package: "tar", proof: "tar" },
  { package: "xz-utils", proof: "xz" },
  { package: "make", proof: "make" },
  { package: "gcc", proof: "gcc" },
  { package: "libc6-dev", proof: "/usr/include/stdlib.h" },
  { package: "flex", proof: "flex" },
  { package: "bison", proof: "bison" },
  { package: "bc", proof: "bc" },
  { package: "perl", proof: "perl" },
  { package: "libelf-dev", proof: "/usr/include/libelf.h" },
  { package: "debian-archive-keyring", proof: "/usr/share/keyrings/debian-archive-keyring.gpg" },
];

const INSTALL_LIMIT_MS = 15 * 60_000;

/**
 * @param program by name
 * @returns its path, if PATH has it
 */
export function findProgram(program: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return [...folders, "/usr/sbin", "/sbin"].map((folder) => `${folder}/${program}`).find(isFile);
}

function isFile(path: string): boolean {
  return statOrNothing(path)?.isFile === true;
}

function statOrNothing(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

/**
 * @param needs what is needed
 * @returns the packages that bring what is missing
 */
export function missingPackages(needs: readonly Need[]): readonly string[] {
  const missing = needs.filter(({ proof }) =>
    proof.startsWith("/") ? !isFile(proof) : findProgram(proof) === undefined
  );
  return [...new Set(missing.map((need) => need.package))];
}

/**
 * Makes sure that everything needed is there: installs it where this process may.
 *
 * @param needs what is needed
 * @param output where to say so
 * @throws LabError when something is missing and cannot be installed from here
 */
export async function ensurePackages(needs: readonly Need[], output: LabOutput): Promise<void> {
  const missing = missingPackages(needs);
  if (missing.length === 0) return;
  if (findProgram("apt-get") === undefined) {
    throw new LabError(`Cannot run the laboratory: missing ${missing.join(", ")}, and no apt-get`, {
      fix: "install what these Debian packages bring, with this system's own package manager",
    });
  }
  if (Deno.uid() !== 0) {
    throw new LabError(`Cannot run the laboratory: missing ${missing.join(", ")}, and not root`, {
      fix: `sudo apt-get install --no-install-recommends ${missing.join(" ")}`,
    });
  }
  await install(missing, output);
  const still = missingPackages(needs);
  if (still.length > 0) {
    throw new LabError(`Cannot run the laboratory: ${still.join(", ")} installed, yet not found`);
  }
}

async function install(packages: readonly string[], output: LabOutput): Promise<void> {
  output.line(`Installing ${packages.join(", ")}`);
  const options = { limitMs: INSTALL_LIMIT_MS, environment: { DEBIAN_FRONTEND: "noninteractive" } };
  await exec("update the package lists", ["apt-get", "-q", "update"], options);
  await exec(
    `install ${packages.join(", ")}`,
    ["apt-get", "-qy", "install", "--no-install-recommends", ...packages],
    options,
  );
}
