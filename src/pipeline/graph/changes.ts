import { isDeepStrictEqual } from 'node:util'
import type { Component } from '../../component/define.ts'
import type { Configured, PipelineConfig } from '../config/config.ts'
import type { Leftovers } from '../delivery/counting.ts'

/** What a reload did, by the paths of the YAML, like `exporters.debug`. */
export interface Changes {
  readonly kept: readonly string[]
  readonly changed: readonly string[]
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Settings that take effect when the process starts again. */
  readonly atNextStart: readonly string[]
  /** Processors that were taken out, and have not released all they hold yet. */
  readonly unreleased: readonly string[]
  /** Data points that the queues which are no more left behind. */
  readonly leftovers: Readonly<Record<string, Leftovers>>
}

/** Whether a component has the same settings and the same module, so that it need not be created anew. */
export function isSame(left: Configured<Component>, right: Configured<Component>): boolean {
  return left.component === right.component && isDeepStrictEqual(left.config, right.config)
}

/** What is different in another configuration, whatever has become of it. */
export function compare(
  before: PipelineConfig,
  after: PipelineConfig,
): Pick<Changes, 'kept' | 'changed' | 'added' | 'removed'> {
  const [old, now] = [partsOf(before), partsOf(after)]
  const stays = (path: string): boolean => isDeepStrictEqual(old.get(path), now.get(path))
  const both = [...now.keys()].filter((path) => old.has(path))
  return {
    kept: both.filter(stays),
    changed: both.filter((path) => !stays(path)),
    added: [...now.keys()].filter((path) => !old.has(path)),
    removed: [...old.keys()].filter((path) => !now.has(path)),
  }
}

/** What makes each part of a configuration what it is, by its path. */
function partsOf({ receivers, processors, exporters, pipelines }: PipelineConfig): Map<string, unknown> {
  const parts = new Map<string, unknown>()
  const sections: Readonly<Record<string, ReadonlyMap<string, Configured<Component>>>> = {
    receivers,
    processors,
    exporters,
  }
  for (const [section, components] of Object.entries(sections)) {
    for (const { id, used, ...rest } of components.values()) {
      // Where it stands in the file makes no difference.
      if (used) parts.set(`${section}.${id}`, { ...rest, place: undefined })
    }
  }
  for (const [id, references] of pipelines) parts.set(`service.pipelines.${id}`, references)
  return parts
}
