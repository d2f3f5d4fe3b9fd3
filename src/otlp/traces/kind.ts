import { codecOf } from '../common/codec.ts'
import { encodedIn, single } from '../common/item_kind.ts'
import type { ItemKind } from '../common/item_kind.ts'
import { schema, tags } from '../schema.ts'
import { checkTraces } from '../wire/check.ts'
import { view } from '../wire/fields.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import { span } from './codec.ts'
import { ResourceSpans, ScopeSpans, Span } from './span.ts'
import type { SpanFields } from './span.ts'
import { placesOf } from './time_window.ts'

const kind: ItemKind<Span, ScopeSpans, ResourceSpans> = {
  ...single,
  names: { batch: 'TraceBatch', resource: 'ResourceSpans', scope: 'ScopeSpans', item: 'Span' },
  resourceEntry: (source) => new ResourceSpans(source),
  scopeEntry: (source) => new ScopeSpans(source),
  scopeFields: (scope, spans, schemaUrl, unknown) => ({ scope, spans, schemaUrl, unknown }),
  resourceType: schema.ResourceSpans,
  check: checkTraces,
  read: (reader, source) => new Span(view(reader, source, span.read)),
  write: (writer, item) => writer.view(tags.ScopeSpans.spans, item, span.writeMade),
  used: ({ made }) => encodedIn(made),
  moved: (_span, encoded: Encoded<SpanFields>) => new Span(encoded),
  placesOf,
}

/** The specifics of spans, for the code that all signals share. */
export const traceKind = { ...kind, ...codecOf(kind) }
