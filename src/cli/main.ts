#!/usr/bin/env node
import './signals.ts'

// Not a static import: those are loaded before any code here runs.
await import('./command.ts')
