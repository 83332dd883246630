import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.retry.RetryForever;

/**
 * A contender (src/bench/contender.ts) that leads by Apache Curator's LeaderLatch, in a ZooKeeper session whose timeout
 * is the TTL.
 *
 * <p>Used as its documentation advises: leadership counts as lost as soon as the connection is suspended (the standard
 * error policy), which the latch reports through its listener; it is looked at before each message. A planned switch
 * closes the latch, which deletes its node, and opens a new one, which queues up behind the others.
 */
public final class Contender {
  private static final int RETRY_PAUSE_MS = 100;

  /** What the one thread that consumes waits for, beside messages. */
  private enum Event {
    LEADER,
    NOT_LEADER,
    RESIGN,
    BROKER_LOST
  }

  private final String name;
  private final String queue;
  private final int prefetch;
  private final ConnectionFactory broker = new ConnectionFactory();
  private final CuratorFramework client;
  private final String path;
  private final OutputStream ledger;
  /** Of {@link Event} and {@link Delivery}, in the order of their arrival. */
  private final BlockingQueue<Object> inbox = new LinkedBlockingQueue<>();
  private Channel channel;
  private LeaderLatch latch;
  private volatile boolean resign;
  private volatile boolean block;

  public static void main(String[] arguments) throws Exception {
    Map<String, String> named = new HashMap<>();
    for (int i = 0; i + 1 < arguments.length; i += 2) named.put(arguments[i].substring(2), arguments[i + 1]);
    Contender contender = new Contender(named);
    Thread orders = new Thread(contender::listen, "orders");
    orders.setDaemon(true);
    orders.start();
    contender.compete();
  }

  private Contender(Map<String, String> arguments) throws Exception {
    name = arguments.get("name");
    queue = arguments.get("queue");
    prefetch = Integer.parseInt(arguments.get("prefetch"));
    path = "/" + arguments.get("lock");
    ledger = new FileOutputStream(arguments.get("ledger"), true);
    broker.setUri(arguments.get("amqp"));
    broker.setAutomaticRecoveryEnabled(false); // It would consume again without having the lead.
    int ttlMs = Integer.parseInt(arguments.get("ttl-ms"));
    client =
        CuratorFrameworkFactory.builder()
            .connectString(arguments.get("servers"))
            .sessionTimeoutMs(ttlMs)
            .connectionTimeoutMs(ttlMs)
            .retryPolicy(new RetryForever(RETRY_PAUSE_MS))
            .build();
    client.start();
    client.blockUntilConnected();
  }

  private void compete() throws Exception {
    for (; ; ) {
      connect();
      if (latch == null) latch = openLatch();
      say("standing");
      if (!waitForLead()) continue;
      say("active");
      try {
        lead();
      } catch (IOException | RuntimeException e) {
        e.printStackTrace();
        channel.abort(); // Whatever it holds goes back to the queue.
      }
      say("inactive");
      // A latch that lost its lead stands again by itself; one that still has it is given up here.
      if (latch.hasLeadership()) {
        latch.close();
        latch = null;
      }
    }
  }

  private LeaderLatch openLatch() throws Exception {
    LeaderLatch opened = new LeaderLatch(client, path, name);
    opened.addListener(
        new LeaderLatchListener() {
          @Override
          public void isLeader() {
            inbox.add(Event.LEADER);
          }

          @Override
          public void notLeader() {
            inbox.add(Event.NOT_LEADER);
          }
        });
    opened.start();
    return opened;
  }

  /** Whether there is something to lead; false when the broker went away meanwhile. */
  private boolean waitForLead() throws InterruptedException {
    while (!latch.hasLeadership()) if (inbox.take() == Event.BROKER_LOST) return false;
    return true;
  }

  /**
   * Handles messages, one after the other, until the lead ends or the bench asks to resign. When it returns, no handler
   * runs, what was handled is acknowledged, and the broker has been told to give the rest to others.
   */
  private void lead() throws IOException, InterruptedException {
    resign = false;
    String tag =
        channel.basicConsume(
            queue, false, (t, delivery) -> inbox.add(delivery), t -> inbox.add(Event.BROKER_LOST));
    while (latch.hasLeadership() && !resign) {
      Object next = inbox.take();
      if (next == Event.BROKER_LOST) throw new IOException("the broker ended the consumer");
      if (!(next instanceof Delivery) || !latch.hasLeadership() || resign) {
        if (next instanceof Delivery) inbox.add(next);
        continue;
      }
      Delivery delivery = (Delivery) next;
      handle(delivery);
      channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
    }
    channel.basicCancel(tag); // No delivery comes after its answer.
    long last = 0;
    for (Object each; (each = inbox.poll()) != null; )
      if (each instanceof Delivery) last = Math.max(last, ((Delivery) each).getEnvelope().getDeliveryTag());
    if (last > 0) channel.basicNack(last, true, true);
  }

  private void handle(Delivery delivery) throws IOException {
    long start = System.nanoTime(); // CLOCK_MONOTONIC, on Linux.
    while (block) Thread.onSpinWait();
    String seq = new String(delivery.getBody(), StandardCharsets.US_ASCII);
    String line = seq + " " + name + " " + start + " " + System.nanoTime() + "\n";
    ledger.write(line.getBytes(StandardCharsets.US_ASCII));
  }

  /** Returns when there is a channel, the present one if it is still open. */
  private void connect() throws InterruptedException {
    while (channel == null || !channel.isOpen()) {
      try {
        if (channel != null) channel.getConnection().abort();
        Connection connection = broker.newConnection();
        channel = connection.createChannel();
        channel.basicQos(prefetch);
        connection.addShutdownListener(cause -> inbox.add(Event.BROKER_LOST));
      } catch (Exception e) {
        e.printStackTrace();
        Thread.sleep(RETRY_PAUSE_MS);
      }
    }
  }

  /** Takes the bench's orders; when the bench is gone, so is the contender. */
  private void listen() {
    try (BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))) {
      for (String order; (order = orders.readLine()) != null; ) {
        if (order.equals("block")) block = true;
        if (order.equals("resign")) {
          resign = true;
          inbox.add(Event.RESIGN);
        }
      }
    } catch (IOException e) {
      e.printStackTrace();
    }
    Runtime.getRuntime().halt(0);
  }

  private static void say(String state) {
    System.out.println(state);
    System.out.flush();
  }
}
