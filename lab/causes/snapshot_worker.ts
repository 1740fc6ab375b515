/**
 * The thread that reads snapshots: what it reads of a bridge waits while that is reset.
 *
 * @module
 */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { SnapshotAnswer, SnapshotRequest } from "./snapshots.ts";

const files = new LinuxFiles();

self.onmessage = ({ data }: MessageEvent<SnapshotRequest>) => {
  self.postMessage({ id: data.id, ...answer(data) } satisfies SnapshotAnswer);
};

function answer({ kernel, addresses }: SnapshotRequest): Omit<SnapshotAnswer, "id"> {
  try {
    const wanted = (address: string) => addresses.includes(address);
    return { snapshot: readSnapshot(files, kernel, wanted).snapshot };
  } catch (error) {
    return { failure: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
}
