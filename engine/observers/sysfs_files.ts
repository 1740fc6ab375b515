/**
 * inotify on the files of sysfs by which devices are reset, changed or taken away: the kernel neither
 * revokes for a reset from there nor sends a uevent, but it tells who watches the file.
 *
 * @module
 */
import type { Fd } from "../fd.ts";
import type { FileEvent } from "../kernel.ts";
import { KernelError } from "../kernel_error.ts";
import type { DeviceFile } from "./device_files.ts";
import type { Observer, ObserverContext } from "./observation.ts";
import { whenReadable } from "./when_readable.ts";

/** A watched file, and what it means for one device: a bridge is above many. */
interface Watched {
  readonly file: DeviceFile;
  readonly device: string;
}

/** Watches files of any number of devices. */
export class SysfsFiles implements Observer {
  readonly #watched = new Map<number, readonly Watched[]>();
  readonly #inotify: Fd;
  readonly #observer: Observer;

  /**
   * @param context takes what is seen
   * @throws {KernelError} where inotify is not to be had
   */
  constructor(private readonly context: ObserverContext) {
    this.#inotify = context.kernel.openInotify("what happens to devices");
    this.#observer = whenReadable(context, this.#inotify, () => this.#read());
  }

  /**
   * Watches the files of one more device.
   *
   * @param device its address
   * @param files those that are not there are left out
   * @returns why others cannot be watched: EACCES, for most of them are root's alone, or ENOSPC where
   * the account watches too many files
   */
  add(device: string, files: readonly DeviceFile[]): readonly KernelError[] {
    const refusals: KernelError[] = [];
    for (const file of files) {
      const watch = this.#watch(file);
      if (watch instanceof KernelError) refusals.push(watch);
      else this.#watched.set(watch, [...this.#watched.get(watch) ?? [], { file, device }]);
    }
    return refusals.filter(({ errnoName }) => errnoName !== "ENOENT" && errnoName !== "ENOTDIR");
  }

  stop(): void {
    this.#observer.stop();
  }

  #watch({ path, event }: DeviceFile): number | KernelError {
    try {
      return this.context.kernel.addFileWatch(this.#inotify, path, [event]);
    } catch (error) {
      if (error instanceof KernelError) return error;
      throw error;
    }
  }

  #read(): void {
    const events = this.context.kernel.readFileEvents(this.#inotify);
    if (events.includes("overrun")) this.#tellOverrun();
    for (const watch of new Set(events.flatMap(watchOf))) this.#tell(watch);
    // The file has gone, and its number may be another file's from here on.
    for (const event of events) {
      if (event !== "overrun" && event.kind === "ignored") this.#watched.delete(event.watch);
    }
  }

  #tell(watch: number): void {
    const watched = this.#watched.get(watch) ?? [];
    for (const [kind, all] of Map.groupBy(watched, ({ file }) => file.kind)) {
      const causes = all.map(({ file: { path, event } }) =>
        `${path} was ${event === "open" ? "opened" : "written to"}`
      );
      const cause = { source: "sysfs", detail: [...new Set(causes)].join(", ") };
      this.context.tell({ devices: all.map(({ device }) => device), kind, cause });
    }
  }

  /** What was lost may have been a reset, of which no probe tells afterwards. */
  #tellOverrun(): void {
    const cause = { source: "sysfs", detail: "events were lost, and with them perhaps a reset" };
    this.context.tell({ devices: "all", kind: "reset", cause });
  }
}

function watchOf(event: FileEvent): number[] {
  return event === "overrun" || event.kind === "ignored" ? [] : [event.watch];
}
