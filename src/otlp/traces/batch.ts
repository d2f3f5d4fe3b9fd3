import { ItemBatch } from '../common/batch.ts'
import type { EntryInit } from '../common/batch.ts'
import type { Resource, Scope } from '../common/resource.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import { traceKind } from './kind.ts'
import { Span } from './span.ts'
import type { SpanFields, ResourceSpans, ScopeSpans } from './span.ts'

/** A batch as plain objects, for components that make spans. */
export interface ResourceSpansInit extends EntryInit {
  readonly spans: readonly (Span | SpanFields)[]
}

/** An immutable view of an OTLP `ExportTraceServiceRequest`. */
export class TraceBatch extends ItemBatch<Span, ScopeSpans, ResourceSpans> {
  static readonly empty = TraceBatch.fromResources([])

  get signal(): 'traces' {
    return 'traces'
  }

  get kind(): typeof traceKind {
    return traceKind
  }

  protected override like(
    resources?: readonly ResourceSpans[],
    bytes?: Uint8Array,
    source?: EncodedRequest,
    itemCount?: number,
  ): this {
    return new TraceBatch(resources, bytes, source, itemCount) as this
  }

  /**
   * Makes a batch from a protobuf `ExportTraceServiceRequest`. The bytes must not be changed afterwards.
   * @param maxMessages the most messages that it may hold, at all levels together
   * @throws MalformedError if the bytes are not one
   */
  static fromOtlp(bytes: Uint8Array, maxMessages = Infinity): TraceBatch {
    return new TraceBatch(undefined, bytes, traceKind.check(bytes, maxMessages))
  }

  static fromResources(resources: readonly ResourceSpans[]): TraceBatch {
    return new TraceBatch(resources)
  }

  /** Makes a batch of one resource and scope per entry. */
  static of(...entries: readonly ResourceSpansInit[]): TraceBatch {
    return TraceBatch.fromResources(
      entries.map(({ spans, ...entry }) =>
        ItemBatch.entry(
          traceKind,
          entry,
          spans.map((span) => (span instanceof Span ? span : new Span(span))),
        ),
      ),
    )
  }

  /** All spans of the given batches, in order, as one batch. */
  static merge(batches: readonly TraceBatch[]): TraceBatch {
    return batches.length === 0 ? TraceBatch.empty : ItemBatch.joined(batches)
  }

  /** Every span with its resource and scope; `schemaUrl` is that of the scope. */
  *spans(): Generator<{ span: Span; resource: Resource; scope: Scope; schemaUrl: string }> {
    for (const { resource, scopes } of this.resources) {
      for (const { scope, schemaUrl, spans } of scopes) {
        for (const span of spans) yield { span, resource, scope, schemaUrl }
      }
    }
  }

  /** `schemaUrl` is that of the scope. */
  mapSpans(change: (span: Span, resource: Resource, scope: Scope, schemaUrl: string) => Span): TraceBatch {
    return this.mapItems('mapSpans', change, () => true)
  }

  /** Keeps the spans that `keep` accepts; scopes and resources left without a span are removed. */
  filterSpans(keep: (span: Span, resource: Resource, scope: Scope) => boolean): TraceBatch {
    return this.filterItems(keep)
  }
}
