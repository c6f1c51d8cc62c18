// Starts the application: listens on PORT, and drains when it is told to stop.
import 'reflect-metadata';

import { ConsoleLogger, ShutdownSignal } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { AppModule } from './app.module';

async function bootstrap(): Promise<void> {
  const app = await NestFactory.create(AppModule, { logger: new ConsoleLogger({ colors: false }) });
  // On these signals Nest closes its server, waits for the answers under way and then leaves with
  // code 0 (without `useProcessExit` it would send itself the signal once more and die of it).
  app.enableShutdownHooks([ShutdownSignal.SIGTERM, ShutdownSignal.SIGINT, ShutdownSignal.SIGQUIT], {
    useProcessExit: true,
  });
  await app.listen(process.env.PORT ?? 3000);
}

void bootstrap();
