#!/usr/bin/env node
import './signals.ts'

// Not a static import: those are loaded before anything here runs.
await import('./command.ts')
