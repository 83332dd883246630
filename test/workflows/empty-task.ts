import { temporal } from '@temporalio/proto';

const History = temporal.api.history.v1.History;
type HistoryMessage = temporal.api.history.v1.IHistory;

interface PlainEvent {
  eventId: string;
  eventType: string;
  eventTime: unknown;
  [attributes: string]: unknown;
}

const completed = 'EVENT_TYPE_WORKFLOW_TASK_COMPLETED';
/** What a workflow's decisions have left behind, as far as these histories have it. */
const isDecision = ({ eventType }: PlainEvent): boolean =>
  /ACTIVITY_TASK_SCHEDULED|TIMER_(STARTED|CANCELED)|UPSERT|ACCEPTED|UPDATE_COMPLETED|MARKER|CANCEL_REQUESTED|CONTINUED/.test(
    eventType,
  );

const eventsOf = (history: HistoryMessage): PlainEvent[] =>
  (
    History.toObject(History.fromObject(history), { longs: String, enums: String, bytes: String }) as {
      events: PlainEvent[];
    }
  ).events;

/** The ids of the events behind which the server can put a workflow task that nothing comes of. */
export function emptyTaskPlaces(history: HistoryMessage): number[] {
  const events = eventsOf(history);
  return events.flatMap((event, index) => {
    const next = events[index + 1];
    return event.eventType === completed && next && !isDecision(next) ? [Number(event.eventId)] : [];
  });
}

/** The history with such a task behind the event `place`. */
export function withEmptyTask(history: HistoryMessage, place: number): HistoryMessage {
  const moved = (id: unknown): unknown => (Number(id) > place ? String(Number(id) + 3) : id);
  const renumbered = eventsOf(history).map((event) =>
    Object.fromEntries(
      Object.entries(event).map(([name, value]) => {
        if (name === 'eventId') return [name, moved(value)];
        if (!name.endsWith('EventAttributes')) return [name, value];
        const attributes = Object.entries(value as object).map(([key, each]: [string, unknown]) => [
          key,
          key.endsWith('EventId') ? moved(each) : each,
        ]);
        return [name, Object.fromEntries(attributes) as object];
      }),
    ),
  ) as PlainEvent[];
  const [before, after] = [renumbered.slice(0, place), renumbered.slice(place)];
  const eventTime = after[0]?.eventTime;
  const scheduledEventId = String(place + 1);
  const startedEventId = String(place + 2);
  const task = [
    ['SCHEDULED', { attempt: 1 }],
    ['STARTED', { scheduledEventId }],
    ['COMPLETED', { scheduledEventId, startedEventId }],
  ] as const;
  const empty = task.map(([kind, attributes], index) => ({
    eventId: String(place + 1 + index),
    eventTime,
    eventType: `EVENT_TYPE_WORKFLOW_TASK_${kind}`,
    [`workflowTask${kind[0]}${kind.slice(1).toLowerCase()}EventAttributes`]: attributes,
  }));
  return History.fromObject({ events: [...before, ...empty, ...after] });
}
