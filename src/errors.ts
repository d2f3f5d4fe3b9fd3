import { types } from 'node:util'
import { visible } from './text/terminal.ts'

/**
 * The fate of a request or a batch, expressed by the kind of error thrown.
 * Exporters and processors throw these; the pipeline around them acts on the kind and counts by the reason.
 */
export type DeliveryErrorKind = 'permanent' | 'retryable' | 'partial' | 'divisible'

export interface DeliveryErrorOptions {
  /** The word under which lost points are counted, `snake_case`; default: the kind. */
  reason?: string
  cause?: unknown
}

export class DeliveryError extends Error {
  override readonly name = 'DeliveryError'
  readonly reason: string
  /** Milliseconds that the destination asked us to wait; only for `retryable`. */
  readonly after: number | undefined
  /** Data points that the destination refused although it took the rest; only for `partial`. */
  readonly rejected: number

  constructor(
    readonly kind: DeliveryErrorKind,
    message: string,
    { reason, cause, after, rejected }: DeliveryErrorOptions & { after?: number; rejected?: number } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    // JavaScript may have put any value here, and it is used for counting and waiting.
    this.reason = typeof reason === 'string' ? reason : kind
    this.after = after !== undefined && after >= 0 ? Number(after) : undefined
    this.rejected = Number.isSafeInteger(rejected) && rejected! > 0 ? rejected! : 0
  }
}

/** Sending the same request again would fail the same way: its points are dropped and counted under `reason`. */
export function permanent(message: string, options?: DeliveryErrorOptions): DeliveryError {
  return new DeliveryError('permanent', message, options)
}

/** The same request may succeed later; `after` (milliseconds) replaces the next backoff interval, as `Retry-After` does. */
export function retryable(message: string, after?: number, options?: DeliveryErrorOptions): DeliveryError {
  return new DeliveryError('retryable', message, { ...options, after })
}

/** The reason of a request that was refused because of its key, token or certificate, or their rights. */
export const UNAUTHORIZED = 'unauthorized'

/** The reason of a request that was refused with HTTP 429, because there were too many. */
export const THROTTLED = 'http_429'

/**
 * The destination does not accept the credentials. Rotating or fixing a key must not cost data, so the request is sent
 * again as after `retryable`, and the log has an error.
 */
export function unauthorized(message: string, after?: number, options?: { cause?: unknown }): DeliveryError {
  return retryable(message, after, { reason: UNAUTHORIZED, ...options })
}

/** The destination took the request but refused `rejected` of its data points. Never sent again. */
export function partial(rejected: number, message: string, options?: DeliveryErrorOptions): DeliveryError {
  return new DeliveryError('partial', message, { reason: 'rejected', ...options, rejected })
}

/** The destination would accept the request in smaller parts (HTTP 413): it is divided, and dropped only if it cannot be. */
export function divisible(message: string, options?: DeliveryErrorOptions): DeliveryError {
  return new DeliveryError('divisible', message, options)
}

const kinds: readonly unknown[] = ['permanent', 'retryable', 'partial', 'divisible'] satisfies DeliveryErrorKind[]

/**
 * The thrown value, if it has a kind: a `DeliveryError`, or, from a component that imports nothing, any error with the
 * fields `kind` and, as they apply, `reason`, `after` and `rejected`.
 */
export function asDeliveryError(error: unknown): DeliveryError | undefined {
  try {
    if (error instanceof DeliveryError && !types.isProxy(error)) return error
    if (typeof error !== 'object' || error === null || !('kind' in error) || !kinds.includes(error.kind))
      return undefined
    const { kind, reason, after, rejected } = error as DeliveryError
    return new DeliveryError(kind, errorMessage(error), { reason, cause: error, after, rejected })
  } catch {
    // A value that throws when it is read has no kind.
    return undefined
  }
}

/** The position of a configuration value in the user's input. Lines and columns count from 1. */
export interface SourcePosition {
  /** A file name, `--set 1`, an environment variable's name, or `default`. */
  source: string
  line?: number
  column?: number
}

/** One mistake (or warning) in a configuration. */
export interface Problem {
  severity: 'error' | 'warning'
  place: SourcePosition
  /** The setting, such as `exporters.datadog_native/eu.api_key`; empty for the file as a whole. */
  path: string
  /** The mistake and its remedy, without secrets. */
  message: string
  /** The value that the user may have meant. */
  suggestion?: string
}

/** Writes a problem as one line: `config/agent.yaml:14:7 exporters.datadog_native/eu.api_key: is required`. */
export function formatProblem({ place, path, message, suggestion }: Problem): string {
  const position = place.line === undefined ? '' : `:${place.line}:${place.column}`
  const meant = suggestion === undefined ? '' : ` (did you mean "${suggestion}"?)`
  return visible(`${place.source}${position}${path === '' ? '' : ` ${path}`}: ${message}${meant}`)
}

/** A configuration that cannot run: every mistake, in the order of the input. Exit code 78. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'

  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'))
  }
}

/** Why a file could not be read, as a statement about the file. */
export function readFailure(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'does not exist'
    case 'EISDIR':
      return 'is a directory, not a file'
    case 'EACCES':
      return 'may not be read by this user'
    default:
      return `cannot be read: ${errorMessage(error)}`
  }
}

/** The text of any thrown value, for logs and messages, even if it cannot be converted to a text, like an object without a prototype. */
export function errorMessage(error: unknown): string {
  try {
    const message = (error as { message?: unknown } | undefined)?.message
    return typeof message === 'string' ? message : String(error)
  } catch {
    return 'a value without a message was thrown'
  }
}
