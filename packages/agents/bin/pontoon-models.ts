#!/usr/bin/env node
/** The boundary to the repository's own scripts: the command as it is published. */
import "../src/commands/pontoonModels.ts"
