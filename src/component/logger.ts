/** Writes structured logs. A message is a sentence; variable data goes into `fields`. Never called per data point. */
export interface Logger {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

/** Makes the counters that a component adds to the pipeline's own metrics. */
export interface Meter {
  createCounter(name: string, options: { description: string; unit?: string }): Counter
}

export interface Counter {
  add(value: number, attributes?: Readonly<Record<string, string>>): void
}
