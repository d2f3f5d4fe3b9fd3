import { anyValueText, Attributes } from '../../otlp/common/attributes.ts'
import type { KeyValue } from '../../otlp/common/attributes.ts'
import { metricInBytes } from '../../otlp/metrics/batch.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import { storable } from '../../otlp/metrics/number_values.ts'
import { joinedMetric, piecesOf } from '../../otlp/metrics/pieces.ts'
import type { DataPoint, NumberPoint } from '../../otlp/metrics/points.ts'
import { atOnce } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import { aggregateBy } from './aggregate.ts'
import { scaleMetric } from './scale.ts'
import type { Operation } from './settings.ts'

/** Applies an operation to the data points of a metric. `deleted` is called with the number of points that it removes. */
interface Operate {
  atOnce(metric: Metric, deleted: (points: number) => void): Metric
  /** For metrics of many points. */
  inTurns(metric: Metric, deleted: (points: number) => void): Divided<Metric>
}

/** Makes a function that applies one checked operation. */
export function operationOf(operation: Operation): Operate {
  const { label = '', new_label = label, new_value = '', label_value, experimental_scale = 1 } = operation
  const type = operation.aggregation_type ?? 'sum'
  switch (operation.action) {
    case 'update_label': {
      const values = (operation.value_actions ?? []).map(({ value, new_value }) => [value, new_value] as const)
      return mapAttributes(updateLabel(label, new_label, new Map(values)))
    }
    case 'add_label':
      return mapAttributes((attributes) =>
        attributes.has(new_label) ? attributes : attributes.with({ [new_label]: new_value }),
      )
    case 'delete_label_value':
      return pointByPoint((metric, deleted) => {
        const kept = metric.points.filter(({ attributes }) => attributes.text(label) !== label_value)
        deleted(metric.points.length - kept.length)
        return metric.withPoints(kept)
      })
    case 'toggle_scalar_data_type':
      return mapPoints((point) => (point.kind === 'number' ? toggle(point) : point))
    case 'aggregate_labels': {
      const kept = new Set(operation.label_set)
      const change = (attributes: Attributes): Attributes =>
        Attributes.from([...attributes].filter(({ key }) => kept.has(key)))
      return together(aggregateBy(change, type))
    }
    case 'aggregate_label_values': {
      const values = (operation.aggregated_values ?? []).map((value) => [value, new_value] as const)
      return together(aggregateBy(updateLabel(label, label, new Map(values)), type))
    }
    case 'experimental_scale_value':
      return pointByPoint((metric) => scaleMetric(metric, experimental_scale))
  }
}

/** An operation on each point, independent of the others. */
function pointByPoint(change: Operate['atOnce']): Operate {
  return {
    atOnce: change,
    *inTurns(metric, deleted) {
      const changed: Metric[] = []
      for (const piece of piecesOf(metric)) {
        changed.push(metricInBytes(change(piece, deleted)))
        piece.forget()
        yield
      }
      return joinedMetric(changed)
    },
  }
}

/** An operation that needs all points of a metric. */
function together(change: (metric: Metric) => Divided<Metric>): Operate {
  return { atOnce: (metric) => atOnce(change(metric)), inTurns: change }
}

function mapPoints(change: (point: DataPoint) => DataPoint): Operate {
  return pointByPoint((metric) => metric.withPoints(metric.points.map(change)))
}

function mapAttributes(change: (attributes: Attributes) => Attributes): Operate {
  return mapPoints((point) => point.withAttributes(change(point.attributes)))
}

/** Renames a label and its values; an existing label with the new name is replaced. */
function updateLabel(
  label: string,
  newLabel: string,
  values: ReadonlyMap<string, string>,
): (attributes: Attributes) => Attributes {
  const update = (entry: KeyValue): KeyValue => {
    const value = values.get(anyValueText(entry.value))
    return { key: newLabel, value: value === undefined ? entry.value : { stringValue: value } }
  }
  return (attributes) => {
    if (!attributes.has(label)) return attributes
    const others = newLabel === label ? attributes : attributes.without(new Set([newLabel]))
    return Attributes.from([...others].map((entry) => (entry.key === label ? update(entry) : entry)))
  }
}

/** An int becomes a double, and a double an int, without its fraction; a double that is out of range for int64 stays a double. */
function toggle(point: NumberPoint): NumberPoint {
  const { value, isInt } = point
  if (value === undefined) return point
  if (isInt) return point.with({ value: Number(value), isInt: false })
  const whole = Math.trunc(Number(value))
  return Number.isFinite(whole) ? point.with(storable({ value: BigInt(whole), isInt: true })) : point
}
